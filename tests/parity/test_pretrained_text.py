"""Whole encoder-decoders of transformers behind our contracts score and write what transformers does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers

from core.decoders.pretrained import PretrainedSeq2SeqDecoder
from core.encoders.pretrained_text import PretrainedSeq2SeqEncoder
from core.generation import GenerationOptions, generate
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials
from tests.contracts.encoder import text_source
from tests.parity.pretrained import BEGIN, END, FORCED, PAD, TYPES, UNKNOWN, WHOLES, WRAPPED, make, save

SHORTEST, LONGEST = 4, 30
SOURCE = text_source([9, 1, 6, 4, 7, 7, 2, 5], TYPES)
Models = Callable[[str, bool], tuple[EncoderDecoder, Any]]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A model by its name, as ours and as transformers' own; each is made once."""
    made: dict[tuple[str, bool], tuple[EncoderDecoder, Any]] = {}

    def find(kind: str, lively: bool) -> tuple[EncoderDecoder, Any]:
        if (kind, lively) not in made:
            path = save(kind, tmp_path_factory.mktemp(kind), lively)
            parts = PretrainedSeq2SeqEncoder(TYPES, path), PretrainedSeq2SeqDecoder(TYPES, 16, path)
            made[kind, lively] = EncoderDecoder(*parts).eval(), make(kind, lively)
        return made[kind, lively]

    return find


def sources(kind: str) -> list[torch.Tensor]:
    """Each source alone, as transformers reads it: (1, S)."""
    prefix = [BEGIN] if kind in WRAPPED else []
    rows = zip(SOURCE.values.tolist(), SOURCE.lengths.tolist(), strict=True)
    return [torch.tensor([[*prefix, *row[:length]]]) for row, length in rows]


def specials(kind: str, theirs: Any) -> Specials:
    begin = FORCED.get(kind, theirs.config.decoder_start_token_id)
    return Specials(PAD, begin, END, UNKNOWN)


class Never(transformers.LogitsProcessor):  # type: ignore[misc]
    """Bans tokens that ours never writes, once the first ones have been."""

    def __init__(self, tokens: set[int], first: int) -> None:
        self.tokens, self.first = sorted(tokens), first

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if input_ids.size(1) < self.first:
            return scores
        return scores.index_fill(1, torch.tensor(self.tokens), -torch.inf)


@pytest.mark.parametrize("kind", WHOLES)
@torch.no_grad()
def test_logits_are_the_same(models: Models, kind: str) -> None:
    ours, theirs = models(kind, False)
    tokens = torch.randint(4, TYPES, (len(SOURCE), 11), generator=torch.Generator().manual_seed(0))
    logits = ours(SOURCE, tokens)
    start = [theirs.config.decoder_start_token_id] if kind in FORCED else []
    for row, source in enumerate(sources(kind)):
        read = torch.tensor([[*start, *tokens[row].tolist()]])
        expected = theirs(input_ids=source, decoder_input_ids=read).logits[0, len(start) :]
        torch.testing.assert_close(logits[row], expected, atol=1e-5, rtol=1e-5)


def write(ours: EncoderDecoder, special: Specials, beam: int) -> list[tuple[int, ...]]:
    options = GenerationOptions(
        beam_size=beam, min_length=SHORTEST, max_length=LONGEST, length_penalty="none", stop="count"
    )
    return [found[0].tokens for found in generate(ours, SOURCE, options, special)]


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("kind", WHOLES)
def test_what_is_written_is_the_same(models: Models, kind: str, beam: int) -> None:
    ours, theirs = models(kind, True)
    special = specials(kind, theirs)
    written = write(ours, special, beam)
    first = 2 if kind in FORCED else 1
    expected = []
    for source in sources(kind):
        row = theirs.generate(
            input_ids=source,
            do_sample=False,
            num_beams=beam,
            min_new_tokens=SHORTEST + first - 1,
            max_new_tokens=LONGEST + first,
            forced_eos_token_id=None,
            logits_processor=transformers.LogitsProcessorList([Never({PAD, special.bos}, first)]),
            **({"early_stopping": True, "length_penalty": 0.0} if beam > 1 else {}),
        )[0, first:].tolist()
        expected.append(tuple([*row, END][: [*row, END].index(END)][:LONGEST]))
    assert written == expected
    # Else a model that says the same whatever it is asked, or whatever is asked of the beam, would do.
    assert len(set(written)) > 3
    assert beam == 1 or written != write(ours, special, 1)
    # At its limit transformers takes what is cut for finished, and judges it by the token more that has room for an
    # end; ours ranks it behind what is finished, by its own tokens. So every beam must come to an end before.
    assert beam == 1 or max(len(text) for text in written) < LONGEST

"""Our Transformer and transformers' own, with the same weights, write the same."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from benchmarks.weights import largest_difference, shake, transformers_twin
from core.batch import Seq2SeqBatch
from core.decoders.transformer import TransformerDecoder
from core.encoders.transformer import TransformerEncoder
from core.generation import GenerationOptions, generate
from core.generation.options import LengthPenalty
from core.layers.feed_forward import Activation
from core.layers.transformer import Norm
from core.masks import length_mask
from core.objectives import CrossEntropy
from core.seq2seq import EncoderDecoder, tie_embeddings
from core.tokenization import Specials
from tests.contracts.encoder import text_source

TYPES, LONGEST = 23, 40
SOURCE = text_source([9, 1, 6, 4, 7, 7, 2, 5], TYPES)
KINDS: list[tuple[Norm, Activation]] = [("post", "silu"), ("pre", "relu")]  # as Marian's, and as Pegasus'


@cache
def model_of(norm: Norm, activation: Activation) -> EncoderDecoder:
    """A model that has begun to learn to copy: random ones never come to an end, good ones are never in doubt."""
    torch.manual_seed(0)
    encoder = TransformerEncoder(TYPES, 32, 2, 4, 48, norm=norm, activation=activation)
    decoder = TransformerDecoder(TYPES, 32, 32, 2, 4, 48, norm=norm, activation=activation)
    tie_embeddings(encoder, decoder)
    model = EncoderDecoder(encoder, decoder)
    shake(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for update in range(110):
        text = text_source([1 + (update + row) % 9 for row in range(32)], TYPES, seed=1 + update)
        text.values[torch.arange(32), text.lengths - 1] = Specials().eos
        loss = CrossEntropy()(model, Seq2SeqBatch(text, text, tuple(range(32))), Specials(), update)
        optimizer.zero_grad()
        torch.autograd.backward(loss.total / loss.tokens)
        optimizer.step()
    return model.eval()


def write(model: EncoderDecoder, beam: int, penalty: LengthPenalty) -> list[tuple[int, ...]]:
    options = GenerationOptions(beam_size=beam, max_length=LONGEST, length_penalty=penalty, stop="count")
    return [hypotheses[0].tokens for hypotheses in generate(model, SOURCE, options, Specials())]


def write_with_transformers(model: Any, beam: int, penalty: float) -> list[tuple[int, ...]]:
    rows = model.generate(
        input_ids=SOURCE.values,
        attention_mask=length_mask(SOURCE.lengths, SOURCE.values.size(1)).long(),
        do_sample=False,
        num_beams=beam,
        max_new_tokens=LONGEST + 1,
        suppress_tokens=[0, 1],  # padding and the begin token, which ours never writes
        **({"early_stopping": True, "length_penalty": penalty} if beam > 1 else {}),
    )
    texts = [[*row[1:].tolist(), 2] for row in rows]
    return [tuple(text[: text.index(2)][:LONGEST]) for text in texts]


@pytest.mark.parametrize(("norm", "activation"), KINDS)
def test_logits_are_the_same(norm: Norm, activation: Activation) -> None:
    model = model_of(norm, activation)
    tokens = torch.randint(1, TYPES, (len(SOURCE), 11))
    assert largest_difference(model, transformers_twin(model, Specials()), SOURCE, tokens) < 1e-4


@pytest.mark.parametrize(("norm", "activation"), KINDS)
@pytest.mark.parametrize(("beam", "penalty", "exponent"), [(1, "none", 0.0), (5, "none", 0.0), (5, "average", 1.0)])
def test_translations_are_the_same(
    norm: Norm, activation: Activation, beam: int, penalty: LengthPenalty, exponent: float
) -> None:
    model = model_of(norm, activation)
    ours = write(model, beam, penalty)
    assert ours == write_with_transformers(transformers_twin(model, Specials()), beam, exponent)
    # Else a model that says the same whatever it is asked, or whatever is asked of the beam, would do.
    assert len(set(ours)) > 4
    # And the beam has all come to an end: where the limit cuts, ours ranks what is finished before what is cut.
    assert beam == 1 or (ours != write(model, 1, "none") and max(len(text) for text in ours) < LONGEST)

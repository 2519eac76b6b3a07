"""Decoders of both kinds that copy, with subwords and with the sources' own words."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf

import pytest
import torch

from core.decoders.base import Decoder
from core.decoders.recurrent import RecurrentDecoder
from core.decoders.transformer import TransformerDecoder
from core.errors import ConfigError
from core.layers.copying import copyable
from core.tokenization import Specials
from tests.contracts.decoder import DecoderContract, random_memory
from tests.contracts.encoder import assert_close

TYPES = 19
Make = Callable[[], Decoder]
RECURRENT = partial(RecurrentDecoder, TYPES, 6, d_model=6, copy=True)
DECODERS: dict[str, Make] = {
    "general": RECURRENT,
    "input feeding": partial(RECURRENT, attention="additive", input_feeding=True, tie=True, cell="lstm"),
    "bahdanau": partial(RECURRENT, attention="additive", order="bahdanau", context_gate=True),
    "coverage": partial(RECURRENT, attention="coverage", input_feeding=True, cell="lstm"),
    "coverage, at once": partial(RECURRENT, attention="coverage"),
    "transformer": partial(
        TransformerDecoder,
        TYPES,
        6,
        d_model=8,
        num_layers=2,
        num_heads=2,
        ffn_size=16,
        copy=True,
        attention_dropout=0.1,
    ),
}


class TestCopyingDecoders(DecoderContract):
    @pytest.fixture(autouse=True, params=DECODERS)
    def build(self, request: pytest.FixtureRequest) -> None:
        torch.manual_seed(0)
        self.decoder = DECODERS[request.param]()
        # Source 0 has a token twice, and so has source 1 one of source 0's.
        tokens = torch.tensor([[5, 7, 5, 18, 2], [5, 9, 9, 0, 0], [3, 0, 0, 0, 0], [4, 5, 0, 0, 0]])
        self.memory = replace(random_memory([5, 3, 1, 2], 6), tokens=tokens)

    def test_probabilities_sum_to_one(self) -> None:
        lengths = torch.tensor([5, 3, 1, 0])
        log_probs = self.decode(self.tokens(4), replace(self.memory, lengths=lengths))
        assert_close(log_probs.exp().sum(2), torch.ones(4, 6))

    def test_own_words_are_types_of_their_source_alone(self) -> None:
        """Source 0 has two words that the vocabulary lacks, source 1 has one, and the others none."""
        tokens = self.memory.tokens
        assert tokens is not None
        tokens = tokens.clone()
        tokens[0, 1], tokens[0, 3], tokens[1, 0] = TYPES, TYPES + 1, TYPES
        memory = replace(self.memory, tokens=tokens, extra_types=2)
        inputs = self.tokens(4)
        log_probs = self.decode(inputs, memory)
        assert log_probs.shape == (4, 6, TYPES + 2)
        assert_close(log_probs.exp().sum(2), torch.ones(4, 6))
        assert (log_probs[..., TYPES:] > -inf).any(1).tolist() == [[True, True], [True, False], *[[False, False]] * 2]
        assert_close(self.decode_by_step(inputs, memory), log_probs)
        rows = torch.tensor([1])
        alone = replace(memory.select(rows), extra_types=1)
        assert_close(self.decode(inputs[rows], alone), log_probs[rows, :, : TYPES + 1])

    def test_own_words_are_read_as_unknown(self) -> None:
        tokens = self.tokens(4)
        others = tokens.clone()
        tokens[:, 2], others[:, 2] = TYPES + 1, Specials().unk
        memory = replace(self.memory, extra_types=2)
        assert_close(self.decode(tokens, memory), self.decode(others, memory))
        assert_close(self.decode_by_step(tokens, memory), self.decode_by_step(others, memory))

    def test_mixture_of_writing_and_attention(self) -> None:
        """Position by position, in probabilities, without a scatter."""
        tokens = self.tokens(4)
        with torch.no_grad():
            features, weights = self.decoder.eval().read(tokens, self.memory)
            assert weights is not None
            gate = self.decoder.head.get_submodule("gate")(features).sigmoid()
            expected = self.decoder.head.get_submodule("vocabulary")(features).softmax(2) * gate
        assert self.memory.tokens is not None
        for row, length in enumerate(self.memory.lengths.tolist()):
            for place in range(length):
                copied = (1 - gate[row, :, 0]) * weights[row, :, place]
                expected[row, :, self.memory.tokens[row, place]] += copied
        assert_close(self.decode(tokens, self.memory).exp(), expected)

    @pytest.mark.parametrize("bias", [-1e5, -200.0, 200.0, 1e5])
    def test_a_gate_of_nought_or_one_gives_finite_numbers(self, bias: float) -> None:
        decoder = copy.deepcopy(self.decoder)
        decoder.head.get_parameter("gate.bias").data.fill_(bias)
        memory = replace(self.memory, lengths=torch.tensor([5, 3, 1, 0]))
        log_probs = decoder(self.tokens(4), memory)
        assert log_probs.isfinite().all()
        (-log_probs.mean()).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in decoder.parameters())

    def test_a_memory_without_tokens_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="no tokens that could be copied"):
            self.decode(self.tokens(4), replace(self.memory, tokens=None))
        with pytest.raises(ConfigError, match="no tokens that could be copied"):
            self.decoder.start(replace(self.memory, tokens=None))


def test_equal_tokens_are_found() -> None:
    memory = replace(random_memory([5, 2], 4), tokens=torch.tensor([[4, 6, 4, 4, 6], [8, 9, 8, 9, 1]]), extra_types=1)
    sources = copyable(memory, 9)
    assert sources.size == 10
    assert sources.first[0].tolist() == [0, 1, 0, 0, 1]
    assert sources.first[1, :2].tolist() == [0, 1]
    weights = torch.tensor([[[0.1, 0.2, 0.3, 0.1, 0.3]], [[0.25, 0.75, 9.0, 9.0, 9.0]]])
    assert_close(sources.gathered(weights), torch.tensor([[[0.5, 0.5, 0, 0, 0]], [[0.25, 0.75, 0, 0, 0]]]))
    mass, matched = sources.mass(weights, torch.tensor([[6], [1]]))
    assert_close(mass, torch.tensor([[0.5], [0.0]]))
    assert matched.tolist() == [[True], [False]]


def test_copying_without_attention_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"copy is true.*attention is none"):
        RecurrentDecoder(TYPES, 6, attention="none", copy=True)


def test_what_depends_on_the_source_is_kept_once_a_source() -> None:
    memory = replace(random_memory([5, 3], 6), tokens=torch.randint(4, TYPES, (2, 5)))
    for name in ("coverage", "transformer"):
        state = DECODERS[name]().start(memory).reorder(torch.arange(2).repeat_interleave(4))
        assert state.sources.tokens.shape == (2, 5)  # type: ignore[attr-defined]

"""What every decoder keeps: subclass it, name a decoder and a memory, and these tests are yours."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from core.decoders.base import Decoder
from core.encoders.base import Memory
from core.masks import length_mask
from tests.contracts.encoder import assert_close, assert_gradients, restored


def random_memory(lengths: Sequence[int], width: int, final: int = 0, num_layers: int = 1, seed: int = 0) -> Memory:
    """A memory as an encoder gives it: random states, zero beyond each length; `final` tensors of last states."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(lengths)
    states = torch.randn(len(lengths), max(lengths), width, generator=generator)
    states = states * length_mask(sizes, max(lengths)).unsqueeze(2)
    last = tuple(torch.randn(num_layers, len(lengths), width, generator=generator).tanh() for _ in range(final))
    return Memory(states, sizes, last)


def extended(memory: Memory, extra: int) -> Memory:
    """The same memory with more padding, and with something in it, so that a leak shows."""
    states = torch.cat([memory.states, memory.states.new_zeros(len(memory.states), extra, memory.states.size(2))], 1)
    beyond = ~length_mask(memory.lengths, states.size(1))
    tokens = memory.tokens
    if tokens is not None:
        tokens = torch.cat([tokens, tokens[:, :1].repeat_interleave(extra, 1)], 1)
        tokens = tokens.masked_fill(beyond, int(tokens[0, 0]))
    return replace(memory, states=states.masked_fill(beyond.unsqueeze(2), 3.0), tokens=tokens)


def cut(memory: Memory) -> Memory:
    """The same memory without padding beyond its longest source."""
    size = int(memory.lengths.max())
    tokens = None if memory.tokens is None else memory.tokens[:, :size]
    return replace(memory, states=memory.states[:, :size], tokens=tokens)


class DecoderContract:
    """Tests of any decoder.

    A subclass names `decoder` and `memory` as class attributes (at least three sources of different lengths), or
    overrides the fixture `build` with a parametrised one that sets them on `self`, for a grid of decoders.

    Attributes:
        attends: the decoder has attention weights to show.
    """

    decoder: Decoder
    memory: Memory
    attends: bool = True

    @pytest.fixture(autouse=True)
    def build(self) -> None:
        """Sets what is tested; nothing to do where the class itself names it."""

    def tokens(self, rows: int, size: int = 6, seed: int = 0) -> Tensor:
        """Random input tokens (rows, size)."""
        generator = torch.Generator().manual_seed(seed)
        return torch.randint(0, self.decoder.embedding.num_embeddings, (rows, size), generator=generator)

    def decode(self, tokens: Tensor, memory: Memory) -> Tensor:
        with torch.no_grad():
            logits: Tensor = self.decoder.eval()(tokens, memory)
        return logits

    @torch.no_grad()
    def decode_by_step(self, tokens: Tensor, memory: Memory, beams: int = 1) -> Tensor:
        """Logits (N, T, V) of tokens (N, T), read one by one, by so many rows a source."""
        self.decoder.eval()
        state = self.decoder.start(memory)
        if beams > 1:
            state = state.reorder(torch.arange(len(memory.lengths)).repeat_interleave(beams))
        logits = []
        for token in tokens.unbind(1):
            scores, state = self.decoder.step(token, state)
            logits.append(scores)
        return torch.stack(logits, 1)

    def test_shapes(self) -> None:
        tokens = self.tokens(len(self.memory.lengths))
        with torch.no_grad():
            features = self.decoder.eval().features(tokens, self.memory)
        assert features.shape == (*tokens.shape, self.decoder.d_model)
        assert self.memory.states.size(2) == self.decoder.memory_size
        logits = self.decode(tokens, self.memory)
        assert logits.shape == (*tokens.shape, self.decoder.embedding.num_embeddings)
        # Else all that is compared here would be equal whatever happens.
        assert logits.std() > 1e-3

    def test_forward_equals_repeated_step(self) -> None:
        tokens = self.tokens(len(self.memory.lengths))
        assert_close(self.decode_by_step(tokens, self.memory), self.decode(tokens, self.memory))

    def test_no_row_depends_on_another(self) -> None:
        tokens = self.tokens(len(self.memory.lengths))
        logits = self.decode(tokens, self.memory)
        for row in range(len(tokens)):
            rows = torch.tensor([row])
            assert_close(self.decode(tokens[rows], cut(self.memory.select(rows))), logits[rows])

    def test_the_source_matters(self) -> None:
        tokens = self.tokens(1).expand(len(self.memory.lengths), -1)
        logits = self.decode(tokens, self.memory)
        assert not torch.allclose(logits[0], logits[1], atol=1e-4)

    def test_later_tokens_do_not_matter(self) -> None:
        tokens = self.tokens(len(self.memory.lengths))
        changed = torch.cat([tokens[:, :3], (tokens[:, 3:] + 1) % self.decoder.embedding.num_embeddings], 1)
        logits, others = self.decode(tokens, self.memory), self.decode(changed, self.memory)
        assert_close(others[:, :3], logits[:, :3])
        assert not torch.allclose(others[:, 3:], logits[:, 3:], atol=1e-4)

    def test_padding_of_the_memory_does_not_matter(self) -> None:
        tokens = self.tokens(len(self.memory.lengths))
        logits = self.decode(tokens, self.memory)
        assert_close(self.decode(tokens, extended(self.memory, 3)), logits)
        assert_close(self.decode_by_step(tokens, extended(self.memory, 3)), logits)

    def test_rows_of_a_source_equal_separate_decodings(self) -> None:
        beams = 3
        tokens = self.tokens(beams * len(self.memory.lengths))
        by_row = self.memory.select(torch.arange(len(self.memory.lengths)).repeat_interleave(beams))
        assert_close(self.decode_by_step(tokens, self.memory, beams), self.decode(tokens, by_row))

    @torch.no_grad()
    def test_reordered_rows_go_on_as_if_started_anew(self) -> None:
        """One row a source, then two of sources 0, 1, 2; beams swap and die; source 1 leaves and 2 comes first."""
        decoder, memory = self.decoder.eval(), self.memory.select(torch.tensor([0, 1, 2]))
        tokens = self.tokens(6, size=8)
        history = torch.zeros(3, 0, dtype=torch.int64)
        state = decoder.start(memory)
        sources = torch.tensor([0, 1, 2])
        moves = {
            2: (torch.tensor([0, 0, 1, 1, 2, 2]), None, torch.tensor([0, 0, 1, 1, 2, 2])),
            4: (torch.tensor([1, 0, 2, 2, 5, 4]), None, torch.tensor([0, 0, 1, 1, 2, 2])),
            6: (torch.tensor([5, 4, 4, 1, 1, 0]), torch.tensor([2, 0]), torch.tensor([2, 2, 2, 0, 0, 0])),
        }
        for time in range(8):
            if time in moves:
                rows, kept, sources = moves[time]
                state, history = state.reorder(rows, kept), history[rows]
            history = torch.cat([history, tokens[: len(history), time : time + 1]], 1)
            logits, state = decoder.step(history[:, -1], state)
            assert_close(logits, self.decode(history, memory.select(sources))[:, -1])

    @torch.no_grad()
    def test_every_source_may_leave(self) -> None:
        state = self.decoder.eval().start(self.memory)
        _, state = self.decoder.step(self.tokens(len(self.memory.lengths), 1)[:, 0], state)
        nothing = torch.zeros(0, dtype=torch.int64)
        assert state.reorder(nothing, nothing) is not None

    def test_an_empty_memory_is_finite_and_no_matter_to_others(self) -> None:
        lengths = self.memory.lengths.clone()
        lengths[-1] = 0
        memory = replace(
            self.memory,
            states=self.memory.states * length_mask(lengths, self.memory.states.size(1)).unsqueeze(2),
            lengths=lengths,
        )
        tokens = self.tokens(len(lengths))
        logits = self.decode(tokens, memory)
        assert logits.isfinite().all()
        assert_close(logits[:-1], self.decode(tokens, self.memory)[:-1])
        assert_close(self.decode_by_step(tokens, memory), logits)
        alone = cut(memory.select(torch.tensor([len(lengths) - 1])))
        assert_close(self.decode(tokens[-1:], alone), logits[-1:])

    def test_attention_rows_sum_to_one_within_the_source(self) -> None:
        tokens = self.tokens(len(self.memory.lengths))
        memory = extended(self.memory, 2)
        with torch.no_grad():
            weights = self.decoder.eval().attention(tokens, memory)
        assert (weights is not None) == self.attends
        if weights is not None:
            size, (rows, steps) = memory.states.size(1), tokens.shape
            assert weights.shape == (rows, weights.size(1), steps, size)
            assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
            assert (weights >= 0).all()
            beyond = ~length_mask(memory.lengths, size).view(rows, 1, 1, size)
            assert not weights.masked_select(beyond).any()

    def test_gradients_reach_every_parameter_and_the_memory(self) -> None:
        decoder = copy.deepcopy(self.decoder).eval()
        states = self.memory.states.clone().requires_grad_()
        final = tuple(state.clone().requires_grad_() for state in self.memory.final)
        logits = decoder(self.tokens(len(states)), replace(self.memory, states=states, final=final))
        logits.log_softmax(-1)[..., 0].sum().backward()
        assert_gradients(decoder)
        gradients = [tensor.grad for tensor in (states, *final)]
        assert any(gradient is not None and gradient.any() for gradient in gradients)

    def test_weights_survive_a_file(self) -> None:
        tokens = self.tokens(len(self.memory.lengths))
        other = restored(self.decoder)
        with torch.no_grad():
            assert_close(other.eval()(tokens, self.memory), self.decode(tokens, self.memory))

    def test_trains_under_bfloat16_autocast(self) -> None:
        torch.manual_seed(0)
        decoder = copy.deepcopy(self.decoder).train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = decoder(self.tokens(len(self.memory.lengths)), self.memory)
        logits.float().log_softmax(-1)[..., 0].sum().backward()
        assert_gradients(decoder)

    def test_autocast_comes_near_full_precision(self) -> None:
        tokens = self.tokens(2 * len(self.memory.lengths))
        by_row = self.memory.select(torch.arange(len(self.memory.lengths)).repeat_interleave(2))
        expected = self.decode(tokens, by_row)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = [self.decode(tokens, by_row), self.decode_by_step(tokens, self.memory, beams=2)]
        for scores in logits:
            torch.testing.assert_close(scores.float(), expected, rtol=0, atol=0.1 * float(expected.abs().max()))

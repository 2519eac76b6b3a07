"""What every encoder keeps: subclass it, name an encoder and a source, and these tests are yours."""

from __future__ import annotations

import copy
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from core.batch import FrameBatch, Source, TextBatch
from core.encoders.base import Encoder, Memory
from core.errors import ConfigError, DataError
from core.masks import length_mask

TOLERANCE = 1e-5
EncoderType = TypeVar("EncoderType", bound=Encoder)


def text_source(lengths: Sequence[int], vocab_size: int, seed: int = 0) -> TextBatch:
    """Random tokens of all types but 0, which fills what is beyond each length."""
    sizes = torch.tensor(lengths)
    size = int(sizes.max())
    values = torch.randint(1, vocab_size, (len(lengths), size), generator=torch.Generator().manual_seed(seed))
    return TextBatch(values.masked_fill(torch.arange(size) >= sizes.unsqueeze(1), 0), sizes)


def extended(source: Source, extra: int) -> Source:
    """The same source with more padding: not zeros but what the first example begins with, so that a leak shows."""
    values = torch.cat([source.values, source.values[:, :1].repeat_interleave(extra, dim=1)], dim=1)
    beyond = torch.arange(values.size(1)) >= source.lengths.unsqueeze(1)
    values[beyond] = source.values[0, 0]
    return replace(source, values=values)


def assert_same(memory: Memory, expected: Memory) -> None:
    """Compares what belongs to the examples: lengths, states within them, final states."""
    assert memory.lengths.tolist() == expected.lengths.tolist()
    for row, length in enumerate(expected.lengths.tolist()):
        assert_close(memory.states[row, :length], expected.states[row, :length])
    assert len(memory.final) == len(expected.final)
    for final, other in zip(memory.final, expected.final, strict=True):
        assert_close(final, other)


def assert_close(value: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(value, expected, atol=TOLERANCE, rtol=TOLERANCE)


def assert_gradients(module: nn.Module) -> None:
    """Every parameter that is trained has got a gradient that is finite and not all zero."""
    trained = {name: parameter.grad for name, parameter in module.named_parameters() if parameter.requires_grad}
    assert trained
    assert [name for name, grad in trained.items() if grad is None] == []
    assert [name for name, grad in trained.items() if grad is not None and not grad.isfinite().all()] == []
    assert [name for name, grad in trained.items() if grad is not None and not grad.any()] == []


def restored(module: nn.Module) -> nn.Module:
    """Another module of the same kind, spoilt, and then filled from a file with the first one's weights."""
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1.0)
    other.load_state_dict(torch.load(file, weights_only=True))
    return other


@torch.no_grad()
def awakened(encoder: EncoderType) -> EncoderType:
    """The encoder with weights where it begins with zeros: what says nothing yet would keep every contract."""
    for parameter in encoder.parameters():
        if parameter.dim() > 1 and not parameter.any():
            nn.init.xavier_uniform_(parameter)
    return encoder


class EncoderContract:
    """Tests of any encoder.

    A subclass names `encoder` and `source` as class attributes (at least two examples of different lengths), or
    overrides the fixture `build` with a parametrised one that sets them on `self`, for a grid of encoders.
    """

    encoder: Encoder
    source: Source

    @pytest.fixture(autouse=True)
    def build(self) -> None:
        """Sets what is tested; nothing to do where the class itself names it."""

    def encode(self, source: Source) -> Memory:
        with torch.no_grad():
            memory: Memory = self.encoder.eval()(source)
        return memory

    def test_shapes_and_types(self) -> None:
        memory = self.encode(self.source)
        assert memory.states.dim() == 3
        assert memory.states.size(0) == len(self.source)
        assert memory.states.size(1) >= int(memory.lengths.max())
        assert memory.states.size(2) == self.encoder.d_model
        assert memory.lengths.shape == (len(self.source),)
        assert memory.lengths.dtype == torch.int64
        assert all(final.dim() == 3 and final.size(1) == len(self.source) for final in memory.final)

    def test_output_lengths_are_known_beforehand(self) -> None:
        lengths = self.encoder.output_lengths(self.source.lengths)
        assert lengths.tolist() == self.encode(self.source).lengths.tolist()

    def test_an_example_alone_equals_itself_in_the_batch(self) -> None:
        memory = self.encode(self.source)
        for row in range(len(self.source)):
            rows = torch.tensor([row])
            assert_same(self.encode(self.source.select(rows)), memory.select(rows))

    def test_states_are_zero_beyond_each_length(self) -> None:
        memory = self.encode(extended(self.source, 3))
        assert not memory.states[~memory.mask].any()
        assert memory.states[memory.mask].any()

    def test_the_order_of_the_batch_does_not_matter(self) -> None:
        order = torch.arange(len(self.source)).roll(1)
        assert_same(self.encode(self.source.select(order)), self.encode(self.source).select(order))

    def test_neither_more_padding_nor_what_stands_in_it_matters(self) -> None:
        assert_same(self.encode(extended(self.source, 3)), self.encode(self.source))

    def test_selected_memory_is_that_of_the_selected_sources(self) -> None:
        rows = torch.tensor([1, 0, 1])
        assert_same(self.encode(self.source).select(rows), self.encode(self.source.select(rows)))

    def test_gradients_reach_every_parameter(self) -> None:
        encoder = copy.deepcopy(self.encoder).eval()
        # Squares, because the plain sum over a normalised layer is a constant.
        encoder(self.source).states.square().sum().backward()
        assert_gradients(encoder)

    def test_weights_survive_a_file(self) -> None:
        other = restored(self.encoder)
        with torch.no_grad():
            assert_same(other.eval()(self.source), self.encode(self.source))

    def test_trains_under_bfloat16_autocast(self) -> None:
        torch.manual_seed(0)
        encoder = copy.deepcopy(self.encoder).train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            states = encoder(self.source).states
        states.float().square().sum().backward()
        assert_gradients(encoder)

    def test_autocast_comes_near_full_precision(self) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            states = self.encode(self.source).states.float()
        expected = self.encode(self.source).states
        torch.testing.assert_close(states, expected, rtol=0, atol=0.1 * float(expected.abs().max()))


class TextEncoderContract(EncoderContract):
    """Tests of an encoder of text: an empty line is a source too."""

    def test_an_empty_source_gives_an_empty_memory(self) -> None:
        empty = TextBatch(torch.zeros(1, 0, dtype=torch.int64), torch.tensor([0]))
        memory = self.encode(empty)
        assert memory.lengths.tolist() == [0]
        assert not memory.states.any()

    def test_an_empty_source_leaves_the_others_alone(self) -> None:
        lengths = torch.cat([self.source.lengths, torch.tensor([0])])
        values = torch.cat([self.source.values, torch.zeros_like(self.source.values[:1])])
        memory = self.encode(TextBatch(values, lengths))
        assert not memory.states[-1].any()
        assert_same(memory.select(torch.arange(len(self.source))), self.encode(self.source))

    def test_its_embeddings_are_on_show(self) -> None:
        assert self.encoder.embedding is not None
        assert int(self.source.values.max()) < self.encoder.embedding.num_embeddings


def frame_source(lengths: Sequence[int], source_size: int, seed: int = 0) -> FrameBatch:
    """Random frames, zero beyond each length."""
    sizes = torch.tensor(lengths)
    size = int(sizes.max())
    values = torch.randn(len(lengths), size, source_size, generator=torch.Generator().manual_seed(seed))
    return FrameBatch(values.masked_fill((torch.arange(size) >= sizes.unsqueeze(1)).unsqueeze(2), 0.0), sizes)


class FrameEncoderContract(EncoderContract):
    """Tests of an encoder of feature frames."""

    @pytest.mark.parametrize("junk", [float("nan"), float("inf")])
    def test_padding_may_hold_anything(self, junk: float) -> None:
        source = extended(self.source, 5)
        mask = length_mask(source.lengths, source.values.size(1)).unsqueeze(2)
        spoilt = replace(source, values=source.values.masked_fill(~mask, junk))
        assert_same(self.encode(spoilt), self.encode(self.source))
        encoder = copy.deepcopy(self.encoder).train()
        encoder(spoilt).states.square().sum().backward()
        assert_gradients(encoder)

    def test_an_example_has_its_gradient_alone_and_in_the_batch(self) -> None:
        """What a batch teaches is the sum of what its examples teach: no gradient comes from padding."""
        together = self.gradients([self.source])
        alone = self.gradients([self.source.select(torch.tensor([row])) for row in range(len(self.source))])
        for name, gradient in together.items():
            torch.testing.assert_close(gradient, alone[name], atol=1e-4, rtol=1e-3, msg=name)

    def gradients(self, sources: Sequence[Source]) -> dict[str, Tensor]:
        encoder = copy.deepcopy(self.encoder).eval()
        for source in sources:
            # Cubes: over a normalised layer plain sums and sums of squares are constants, and their gradients noise.
            encoder(source).states.pow(3).sum().backward()
        return {name: parameter.grad for name, parameter in encoder.named_parameters() if parameter.grad is not None}

    def test_lengths_are_those_of_forward_for_any_source(self) -> None:
        features = self.source.values.size(2)
        lengths = torch.arange(1, 4 * self.encoder.subsampling + 9)
        expected = self.encoder.output_lengths(lengths)
        for length, states in zip(lengths.tolist(), expected.tolist(), strict=True):
            source = frame_source([length], features)
            if states:
                assert self.encode(source).lengths.tolist() == [states]
            else:
                with pytest.raises(DataError, match=f"source of {length} frames is too short"):
                    self.encode(source)
        assert expected[-1] > expected[0]

    def test_a_source_of_no_frames_is_refused(self) -> None:
        empty = replace(self.source, lengths=self.source.lengths * torch.tensor([0] + [1] * (len(self.source) - 1)))
        with pytest.raises(DataError, match="0 frames is too short"):
            self.encode(empty)

    def test_frames_of_another_size_are_refused(self) -> None:
        wider = replace(self.source, values=torch.cat([self.source.values] * 2, dim=2))
        with pytest.raises(ConfigError, match=f"got values of shape.* {wider.values.size(2)}\\)"):
            self.encode(wider)

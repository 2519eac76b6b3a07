from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from core.errors import ConfigError
from core.layers.positions import LearnedPositions, Positions, Rotary, SinusoidalPositions, make_positions
from core.layers.relative import RelativeSelfAttention

Reader = Callable[[], tuple[nn.Module, Callable[[Tensor], Tensor]]]


def added() -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    layer = SinusoidalPositions(4, initial_size=2)
    return layer, layer


def turned() -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    layer = Rotary(4, initial_size=2)
    return layer, lambda x: layer(x, 0, x.size(1))


def relative() -> tuple[nn.Module, Callable[[Tensor], Tensor]]:
    layer = RelativeSelfAttention(4, 2, initial_size=2)
    return layer, lambda x: layer(x, None)


GROWING = (added, turned, relative)


def test_sinusoidal_is_the_formula_of_the_paper() -> None:
    added = SinusoidalPositions(6)(torch.zeros(1, 500, 6))[0]
    for position in (0, 1, 7, 499):
        for pair in range(3):
            angle = position / 10000 ** (2 * pair / 6)
            assert added[position, 2 * pair].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert added[position, 2 * pair + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


@pytest.mark.parametrize("kind", ["sinusoidal", "learned", "none"])
def test_offset_goes_on_where_the_sequence_is(kind: Positions) -> None:
    torch.manual_seed(0)
    positions = make_positions(kind, 8, 512, "max_positions")
    x = torch.randn(2, 300, 8)
    torch.testing.assert_close(positions(x[:, 290:], 290), positions(x)[:, 290:])


def test_learned_positions_end_with_an_error_that_names_the_option() -> None:
    positions = LearnedPositions(4, 5, "model.decoder.max_positions")
    positions(torch.zeros(1, 5, 4))
    with pytest.raises(ConfigError, match=r"6 tokens .* model\.decoder\.max_positions=5"):
        positions(torch.zeros(1, 1, 4), 5)


def test_rotary_turns_pairs_by_the_angle_of_the_paper() -> None:
    turned = Rotary(4)(torch.tensor([1.0, 0.0, 0.0, 1.0]).repeat(4, 1), 0, 4)
    for position in range(4):
        slow = position / 10000 ** (2 / 4)
        expected = [math.cos(position), math.sin(position), -math.sin(slow), math.cos(slow)]
        assert turned[position].tolist() == pytest.approx(expected, abs=1e-6)


def test_rotary_products_depend_on_the_distance_alone() -> None:
    torch.manual_seed(0)
    rotary = Rotary(16)
    query, key = torch.randn(1, 16), torch.randn(1, 16)
    product = (rotary(query, 3, 4) * rotary(key, 1, 2)).sum()
    torch.testing.assert_close((rotary(query, 303, 304) * rotary(key, 301, 302)).sum(), product, atol=1e-4, rtol=1e-4)
    assert not torch.allclose((rotary(query, 4, 5) * rotary(key, 1, 2)).sum(), product, atol=1e-2)


def test_an_odd_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="7"):
        SinusoidalPositions(7)
    with pytest.raises(ConfigError, match="7"):
        Rotary(7)


@pytest.mark.parametrize("read", GROWING)
def test_what_a_model_has_read_is_no_part_of_its_weights(read: Reader) -> None:
    """Its table has grown: the average of its weights goes on, and so do other ranks, which have seen other lengths."""
    layer, forward = read()
    model = nn.ModuleList([layer, nn.Linear(1, 1)])  # an average of no weights at all is refused
    averaged = AveragedModel(model, use_buffers=True)
    forward(torch.randn(1, 3, 4))
    averaged.update_parameters(model)
    averaged.update_parameters(model)
    assert not list(layer.buffers())


@pytest.mark.parametrize("read", GROWING)
def test_lengths_that_a_test_meets_first_can_be_trained_on(read: Reader) -> None:
    _, forward = read()
    with torch.inference_mode():
        forward(torch.randn(1, 5, 4))
    x = torch.randn(1, 5, 4, requires_grad=True)
    assert torch.autograd.grad(forward(x).sum(), x)[0].any()

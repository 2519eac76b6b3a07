from __future__ import annotations

import math

import pytest
import torch

from core.errors import ConfigError
from core.layers.positions import LearnedPositions, Positions, Rotary, SinusoidalPositions, make_positions


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

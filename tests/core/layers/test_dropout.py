from __future__ import annotations

import pytest
import torch

from core.errors import ConfigError
from core.layers.dropout import SMALL, Dropout

SIZE = 1_000_003  # large enough for the fast path, and no multiple of the eight bytes of a word


def dropped(p: float, size: int = SIZE, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    output: torch.Tensor = Dropout(p)(torch.ones(size))
    return output


@pytest.mark.parametrize("size", [SIZE, SMALL - 1])
def test_without_probability_and_in_evaluation_nothing_changes(size: int) -> None:
    x = torch.randn(size)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(0.3).eval()(x), x)
    assert torch.equal(Dropout(0.3).eval()(x, x), 2 * x)


@pytest.mark.parametrize("size", [SIZE, SMALL - 1])
def test_probability_one_leaves_zeros_and_the_residual(size: int) -> None:
    x = torch.randn(size)
    assert not Dropout(1.0)(x).any()
    assert torch.equal(Dropout(1.0)(x, x), x)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9, 0.998])
def test_rate_and_mean(p: float) -> None:
    output = dropped(p)
    quantised = min(round(p * 256), 255) / 256
    deviation = (quantised * (1 - quantised) / SIZE) ** 0.5
    assert abs((output == 0).double().mean().item() - quantised) < 4 * deviation
    # What is kept is scaled by the inverse of the very rate that it is kept with.
    assert sorted(set(output.tolist())) == pytest.approx([0, 1 / (1 - quantised)])


def test_a_tiny_probability_still_drops() -> None:
    assert (dropped(0.0001) == 0).double().mean().item() == pytest.approx(1 / 256, rel=0.1)


def test_each_place_in_a_word_is_dropped_alike_and_independently() -> None:
    kept = (dropped(0.3)[: SIZE // 8 * 8] != 0).double().view(-1, 8)
    rate, rows = 1 - 77 / 256, kept.size(0)
    torch.testing.assert_close(kept.mean(0), torch.full((8,), rate, dtype=torch.float64), atol=0.007, rtol=0)
    correlation = torch.corrcoef(kept.T) - torch.eye(8)
    assert correlation.abs().max().item() < 5 / rows**0.5


@pytest.mark.parametrize("size", [SIZE, SMALL - 1])
def test_the_seed_decides(size: int) -> None:
    assert torch.equal(dropped(0.3, size, seed=7), dropped(0.3, size, seed=7))
    assert not torch.equal(dropped(0.3, size, seed=7), dropped(0.3, size, seed=8))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("p", [0.3, 1.0])
def test_gradient_takes_the_way_of_the_output(p: float, dtype: torch.dtype) -> None:
    x = torch.ones(SIZE, dtype=dtype, requires_grad=True)
    output = Dropout(p)(x)
    upstream = torch.randn(SIZE).to(dtype)
    output.backward(upstream)
    assert x.grad is not None
    assert output.dtype == x.grad.dtype == dtype
    torch.testing.assert_close(x.grad, output.detach() * upstream)


@pytest.mark.parametrize("size", [SIZE, SMALL - 1])
def test_residual_is_the_sum_and_keeps_its_type(size: int) -> None:
    x = torch.randn(size, dtype=torch.bfloat16, requires_grad=True)
    residual = torch.randn(size, requires_grad=True)
    torch.manual_seed(1)
    output = Dropout(0.3)(x, residual)
    torch.manual_seed(1)
    expected = residual + Dropout(0.3)(x.float())
    assert output.dtype == torch.float32
    torch.testing.assert_close(output, expected)
    upstream = torch.randn(size)
    gradients = torch.autograd.grad(output, (x, residual), upstream)
    for gradient, other in zip(gradients, torch.autograd.grad(expected, (x, residual), upstream), strict=True):
        torch.testing.assert_close(gradient, other)


def test_shape_and_layout_are_free() -> None:
    x = torch.ones(40, 50, 60).transpose(0, 2)
    output = Dropout(0.5)(x)
    assert output.shape == x.shape
    assert set(output.flatten().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("p", [-0.1, 1.1])
def test_what_is_no_probability_is_refused(p: float) -> None:
    with pytest.raises(ConfigError, match=str(p)):
        Dropout(p)

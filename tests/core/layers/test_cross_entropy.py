from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from core.layers import cross_entropy
from core.layers.cross_entropy import smoothed_cross_entropy, smoothed_cross_entropy_logits

COUNT, SIZE, WIDTH = 23, 41, 8


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five rows at once: four full chunks and a smaller one."""
    monkeypatch.setattr(cross_entropy, "CHUNK", 5 * SIZE + 3)


def inputs(scale: float = 1.0, with_bias: bool = True) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    torch.manual_seed(0)
    features = torch.randn(COUNT, WIDTH).requires_grad_()
    weight = (scale * torch.randn(SIZE, WIDTH)).requires_grad_()
    bias = torch.randn(SIZE).requires_grad_() if with_bias else None
    return features, weight, bias, torch.randint(0, SIZE, (COUNT,))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("with_bias", [True, False])
def test_loss_and_gradients_equal_those_of_torch(smoothing: float, with_bias: bool) -> None:
    features, weight, bias, targets = inputs(with_bias=with_bias)
    leaves = [tensor for tensor in (features, weight, bias) if tensor is not None]
    logits = F.linear(features, weight, bias)
    expected = F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="sum")
    for total, nll in (
        smoothed_cross_entropy(features, weight, bias, targets, smoothing),
        smoothed_cross_entropy_logits(F.linear(features, weight, bias), targets, smoothing),
    ):
        torch.testing.assert_close(total, expected)
        torch.testing.assert_close(nll, F.cross_entropy(logits, targets, reduction="sum"))
        assert not nll.requires_grad
        gradients = torch.autograd.grad(total / 7, leaves, retain_graph=True)
        others = torch.autograd.grad(expected / 7, leaves, retain_graph=True)
        for gradient, other in zip(gradients, others, strict=True):
            torch.testing.assert_close(gradient, other, atol=1e-6, rtol=1e-5)


def test_a_target_without_probability_costs_what_it_costs() -> None:
    features, weight, bias, targets = inputs(scale=200.0)
    expected = F.cross_entropy(F.linear(features, weight, bias), targets, label_smoothing=0.1, reduction="sum")
    assert expected > 100 * COUNT  # probabilities below what float32 can hold
    total, _ = smoothed_cross_entropy(features, weight, bias, targets, 0.1)
    torch.testing.assert_close(total, expected)


def test_autocast_comes_near_full_precision() -> None:
    features, weight, bias, targets = inputs()
    assert bias is not None
    leaves = (features, weight, bias)
    expected = F.cross_entropy(F.linear(features, weight, bias), targets, label_smoothing=0.1, reduction="sum")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, _ = smoothed_cross_entropy(features, weight, bias, targets, 0.1)
    assert total.dtype == torch.float32
    torch.testing.assert_close(total, expected, rtol=3e-3, atol=0)
    wanted = torch.autograd.grad(expected, leaves)
    for gradient, other in zip(torch.autograd.grad(total, leaves), wanted, strict=True):
        assert gradient.dtype == torch.float32
        assert (gradient - other).norm() < 0.01 * other.norm()


def test_without_gradient_the_loss_is_the_same() -> None:
    features, weight, bias, targets = inputs()
    with torch.no_grad():
        total, nll = smoothed_cross_entropy(features, weight, bias, targets, 0.1)
    assert not total.requires_grad
    expected, other = smoothed_cross_entropy(features, weight, bias, targets, 0.1)
    assert total == expected
    assert nll == other


def test_no_tokens_cost_nothing() -> None:
    features, weight, bias, targets = inputs()
    total, nll = smoothed_cross_entropy(features[:0], weight, bias, targets[:0], 0.1)
    assert total == nll == 0
    assert not torch.autograd.grad(total, weight)[0].any()

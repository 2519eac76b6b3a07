from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from core.layers import divergence
from core.layers.divergence import symmetric_divergence

COUNT, WIDTH, TYPES = 7, 5, 11


def inputs(with_bias: bool = True) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    torch.manual_seed(1)
    first, second = (torch.randn(COUNT, WIDTH, requires_grad=True) for _ in range(2))
    bias = torch.randn(TYPES, requires_grad=True) if with_bias else None
    return first, second, torch.randn(TYPES, WIDTH, requires_grad=True), bias


def expected(first: Tensor, second: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    p, q = (F.linear(side, weight, bias).log_softmax(1) for side in (first, second))
    return F.kl_div(q, p, log_target=True, reduction="sum") + F.kl_div(p, q, log_target=True, reduction="sum")


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("chunk", [1, 2 * TYPES, 2**20])
def test_value_and_gradients_are_those_of_torch_s_divergences(
    with_bias: bool, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(divergence, "CHUNK", chunk)
    first, second, weight, bias = inputs(with_bias)
    leaves = [leaf for leaf in (first, second, weight, bias) if leaf is not None]
    ours, wanted = symmetric_divergence(first, second, weight, bias), expected(first, second, weight, bias)
    torch.testing.assert_close(ours, wanted)
    found, others = torch.autograd.grad(3 * ours, leaves), torch.autograd.grad(3 * wanted, leaves)
    for gradient, other in zip(found, others, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-5)


def test_autocast_comes_near_full_precision() -> None:
    first, second, weight, bias = inputs()
    assert bias is not None
    leaves = (first, second, weight, bias)
    wanted = expected(*leaves)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = symmetric_divergence(*leaves)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, wanted, rtol=0.02, atol=0)
    for gradient, other in zip(torch.autograd.grad(ours, leaves), torch.autograd.grad(wanted, leaves), strict=True):
        assert (gradient - other).norm() < 0.02 * other.norm()


def test_equal_features_are_not_apart_and_no_tokens_cost_nothing() -> None:
    first, second, weight, bias = inputs()
    assert symmetric_divergence(first, first, weight, bias) == 0
    assert symmetric_divergence(first[:0], second[:0], weight, bias) == 0

"""How far two distributions over a vocabulary are from each other, the head included.

As for the cross-entropy beside this, the logits are held a chunk at a time and the gradient is made along with the
value. With p and q the softmaxes of logits a and b, KL(p|q) + KL(q|p) is the sum of (p - q)(a - b) over the types: the
normalisers fall out. Its gradient by a is p - q + p(a - b - E_p[a - b]), by b the same with the two exchanged.

Letters: N tokens, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 2**21  # logits of either side that are held at once, in float32: these passes are bound by memory


def symmetric_divergence(first: Tensor, second: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Sums KL(p|q) + KL(q|p) over tokens, with gradient.

    Args:
        first: features (N, D), of which the head makes p.
        second: features (N, D), of which it makes q.
        weight: the head's matrix (V, D).
        bias: (V,) or None.

    Returns:
        A scalar in nats.
    """
    device = first.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else first.dtype
    divergence: Tensor = _SymmetricDivergence.apply(first, second, weight, bias, dtype)
    return divergence


class _SymmetricDivergence(torch.autograd.Function):
    """Computes the gradient along with the value, while the logits are at hand."""

    @staticmethod
    def forward(
        ctx: Any, first: Tensor, second: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype
    ) -> Tensor:
        sides, matrix = (first, second), weight.to(dtype)
        offset = None if bias is None else bias.float()
        gradients = [torch.empty_like(first), torch.empty_like(second), torch.zeros_like(weight)]
        if bias is not None:
            gradients.append(torch.zeros_like(bias))
        total = first.new_zeros((), dtype=torch.promote_types(dtype, torch.float32))
        step = max(CHUNK // weight.size(0), 1)
        with torch.autocast(first.device.type, enabled=False):
            for begin in range(0, first.size(0), step):
                rows = slice(begin, begin + step)
                inputs = [side[rows].to(dtype) for side in sides]
                logits = [(each @ matrix.T).to(total.dtype) for each in inputs]  # (n, V) each
                if offset is not None:
                    logits = [each.add_(offset) for each in logits]
                value, slopes = _value_and_slopes(*logits)
                total += value
                for gradient, each, slope in zip(gradients, inputs, slopes, strict=False):
                    narrow = slope.to(dtype)
                    gradient[rows] = (narrow @ matrix).to(gradient.dtype)
                    gradients[2].add_((narrow.T @ each).to(weight.dtype))
                    if bias is not None:
                        gradients[3].add_(slope.sum(0))
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, total: Tensor) -> tuple[Tensor | None, ...]:
        first, second, weight, *bias = (gradient * total for gradient in ctx.saved_tensors)
        return first, second, weight, bias[0] if bias else None, None


def _value_and_slopes(first: Tensor, second: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """The divergence of logits (n, V), summed over rows, and its gradients by either: (n, V) each."""
    p, q = first.softmax(1), second.softmax(1)
    apart = first.sub_(second)
    difference = p - q
    value = torch.dot(difference.flatten(), apart.flatten())
    by_first = difference.addcmul(p, apart).addcmul_(p, _mean(p, apart), value=-1)
    by_second = difference.addcmul_(q, apart).addcmul_(q, _mean(q, apart), value=-1).neg_()
    return value, (by_first, by_second)


def _mean(probabilities: Tensor, values: Tensor) -> Tensor:
    """The expectation of each row: (n, V) to (n, 1)."""
    mean: Tensor = torch.linalg.vecdot(probabilities, values)
    return mean.unsqueeze(1)

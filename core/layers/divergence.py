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

CHUNK = 2**20  # logits of either side that are held at once, in float32: these passes are bound by memory


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
        offset = None if bias is None else bias.to(dtype)
        gradients = [torch.empty_like(first), torch.empty_like(second), torch.zeros_like(weight)]
        if bias is not None:
            gradients.append(torch.zeros_like(bias))
        wide = torch.promote_types(dtype, torch.float32)
        total, size = first.new_zeros((), dtype=wide), weight.size(0)
        step = min(max(CHUNK // size, 1), max(first.size(0), 1))
        # Buffers for all chunks, because fresh memory is slow to touch for the first time.
        narrow, buffers = matrix.new_empty(2, step, size), matrix.new_empty(4, step, size, dtype=wide)
        with torch.autocast(first.device.type, enabled=False):
            for begin in range(0, first.size(0), step):
                rows = slice(begin, begin + step)
                inputs = [side[rows].to(dtype) for side in sides]
                slopes = narrow[:, : len(inputs[0])]  # first the logits (2, n, V)
                for each, logits in zip(inputs, slopes, strict=True):
                    torch.mm(each, matrix.T, out=logits)
                    if offset is not None:
                        logits.add_(offset)
                total += _value_and_slopes(slopes, buffers[:, : len(inputs[0])])
                for gradient, each, slope in zip(gradients, inputs, slopes, strict=False):
                    gradient[rows] = slope @ matrix
                    gradients[2].add_((slope.T @ each).to(weight.dtype))
                    if bias is not None:
                        gradients[3].add_(slope.sum(0))
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, total: Tensor) -> tuple[Tensor | None, ...]:
        first, second, weight, *bias = (gradient * total for gradient in ctx.saved_tensors)
        return first, second, weight, bias[0] if bias else None, None


def _value_and_slopes(logits: Tensor, buffers: Tensor) -> Tensor:
    """The divergence of two sides' logits (2, n, V), summed over rows; their gradients take the logits' place.

    The value is E_p[a - b] - E_q[a - b], and the gradient by a is p (1 + a - b - E_p[a - b]) - q.

    Args:
        logits: a and b.
        buffers: (4, n, V) in the type to compute in.
    """
    p, q, apart, slope = buffers
    torch.softmax(logits[0], 1, p.dtype, out=p)
    torch.softmax(logits[1], 1, q.dtype, out=q)
    torch.sub(logits[0], logits[1], out=apart)
    mean_p, mean_q = (torch.linalg.vecdot(each, apart).unsqueeze(1) for each in (p, q))
    logits[0] = torch.add(apart, 1 - mean_p, out=slope).mul_(p).sub_(q)
    logits[1] = torch.sub(1 + mean_q, apart, out=slope).mul_(q).sub_(p)
    total: Tensor = (mean_p - mean_q).sum()
    return total

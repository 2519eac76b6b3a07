"""Dropout that doesn't spend a third of a CPU's training step on random numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from core.errors import ConfigError

# Below this many elements the handful of extra calls costs more than torch's serial generator.
SMALL = 2048


class Dropout(nn.Module):
    """Zeroes elements with probability p in training and scales the rest by 1 / (1 - p) (Srivastava et al. 2014).

    As `nn.Dropout`, but on the CPU it is about ten times faster: each element compares one random byte with a
    threshold, where torch draws a 64-bit number for it. So p is rounded to a multiple of 1/256 (at least one), and the
    scale is that of the rounded p: the expectation is exact. Reproducible under `torch.manual_seed`.

    Args:
        p: probability of zeroing an element.

    Raises:
        ConfigError: p isn't within [0, 1].
    """

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        if not 0.0 <= p <= 1.0:
            raise ConfigError(f"dropout must be within 0 and 1, got {p}")
        self.p = p

    def forward(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Drops elements of x, of any shape; adds them to `residual` of the same shape, in its dtype, where given."""
        if residual is not None:
            x = x.to(residual.dtype)
        if not self.training or self.p == 0.0:
            return x if residual is None else residual + x
        if self.p == 1.0 or x.device.type != "cpu" or torch.compiler.is_compiling() or x.numel() < SMALL:
            dropped = F.dropout(x, self.p, training=True)
            return dropped if residual is None else residual + dropped
        output: Tensor = _ByteDropout.apply(x, residual, min(max(round(256 * self.p), 1), 255))
        return output

    def extra_repr(self) -> str:
        """The probability, for the model's summary."""
        return f"p={self.p}"


class _ByteDropout(torch.autograd.Function):
    """Drops each element with probability threshold / 256 and adds the rest to a residual in the same pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, residual: Tensor | None, threshold: int) -> Tensor:
        keep = _random_keep(x, threshold)
        ctx.save_for_backward(keep)  # a byte an element, whatever the dtype of x
        ctx.scale = 256 / (256 - threshold)
        base = x.new_zeros(()) if residual is None else residual
        return torch.addcmul(base, x, keep.to(x.dtype), value=ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        (keep,) = ctx.saved_tensors
        inner = torch.addcmul(gradient.new_zeros(()), gradient, keep.to(gradient.dtype), value=ctx.scale)
        return inner, gradient if ctx.needs_input_grad[1] else None, None


def _random_keep(x: Tensor, threshold: int) -> Tensor:
    """Draws a mask in the shape of x: int8, 0 with probability threshold / 256, else 1."""
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
    # Comparisons give booleans, which torch's CPU kernels don't vectorise; a clamp of signed bytes to two neighbouring
    # values says the same ten times faster.
    low = threshold - 129
    keep = words.view(torch.int8).clamp_(low, low + 1).sub_(low)
    return keep[: x.numel()].view(x.shape)

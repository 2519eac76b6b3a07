"""Batch normalisation of padded sequences.

Letters: B batch, S length, D features.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from core.distributed import world_size


class MaskedBatchNorm(nn.Module):
    """Normalises each feature by its mean and variance over the batch's real states (Ioffe & Szegedy 2015).

    As `nn.BatchNorm1d`, but what is padding doesn't count; and with several ranks the batch is that of all of them,
    so that two ranks normalise as one process with both their batches would. In evaluation the running statistics
    are used, so that no example depends on another.

    Args:
        num_features: D.
        momentum: the weight of a batch in the running statistics.
        eps: added to the variance.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, num_features: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("mean", torch.zeros(num_features))
        self.register_buffer("variance", torch.ones(num_features))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Normalises x (B, S, D), float32 whatever its type, over the states where the mask (B, S, 1) is True."""
        x = x.float()
        mean, variance = self.statistics(x, mask) if self.training else (self.mean, self.variance)
        scale = self.weight * (variance + self.eps).rsqrt()
        return torch.addcmul(self.bias - mean * scale, x, scale)

    def statistics(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The mean and the variance (D,) of the whole step's states, which the running ones are moved towards."""
        count: Tensor = _SumOverRanks.apply(mask.sum().float())
        mean: Tensor = _SumOverRanks.apply(x.masked_fill(~mask, 0.0).sum((0, 1))) / count
        squares = (x - mean).masked_fill(~mask, 0.0).square()
        variance: Tensor = _SumOverRanks.apply(squares.sum((0, 1))) / count
        with torch.no_grad():
            unbiased = variance * (count / (count - 1).clamp(min=1))
            self.mean.lerp_(mean, self.momentum)
            self.variance.lerp_(unbiased, self.momentum)
        return mean, variance


class _SumOverRanks(torch.autograd.Function):
    """Adds a tensor up over all ranks, and its gradient too: each rank's loss depends on all ranks' states."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _summed(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)


def _summed(x: Tensor) -> Tensor:
    total = x.clone()
    if world_size() > 1:
        dist.all_reduce(total)
    return total

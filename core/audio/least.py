"""The shortest sound that a model is asked to hear."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

LEAST_SECONDS = 0.25  # more than any encoder's one step; shorter sounds end in silence


def least_samples(sample_rate: int) -> int:
    """The samples of the shortest sound."""
    return round(LEAST_SECONDS * sample_rate)


def extended(samples: Tensor, sample_rate: int) -> Tensor:
    """A sound (S,), with silence behind it where it is too short to be encoded."""
    return F.pad(samples, (0, max(least_samples(sample_rate) - samples.numel(), 0)))

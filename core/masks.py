"""The only place where a mask is made. True means "is there" or "may be attended to", as in torch's SDPA."""

from __future__ import annotations

import torch
from torch import Tensor


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """Marks the positions that belong to each example: lengths (B,) to a boolean (B, size)."""
    return torch.arange(size, device=lengths.device) < lengths.unsqueeze(1)


def causal_mask(size: int, device: torch.device | None = None) -> Tensor:
    """Lets position i attend to positions j <= i: a boolean (size, size)."""
    return torch.ones(size, size, dtype=torch.bool, device=device).tril()

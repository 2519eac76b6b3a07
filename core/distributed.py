"""The few things that ranks say to each other, the same with one process as with many."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """How many processes train together; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def sum_over_ranks(values: Tensor) -> Tensor:
    """Adds a tensor up over all ranks; every rank gets the sum, in float64 so that counts stay exact."""
    total = values.detach().to(torch.float64)
    if world_size() > 1:
        total = total.clone()
        dist.all_reduce(total)
    return total

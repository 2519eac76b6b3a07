"""The few things that ranks say to each other, the same with one process as with many."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

Key = TypeVar("Key")
Value = TypeVar("Value")


def world_size() -> int:
    """How many processes train together; 1 without torch.distributed."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number among those, from 0."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def sum_over_ranks(values: Tensor) -> Tensor:
    """Adds a tensor up over all ranks; every rank gets the sum, in float64 so that counts stay exact."""
    total = values.detach().to(torch.float64)
    if world_size() > 1:
        total = total.clone()
        dist.all_reduce(total)
    return total


def union_over_ranks(values: dict[Key, Value]) -> dict[Key, Value]:
    """Puts all ranks' dictionaries of plain data together; of what several ranks have, the lowest one's counts."""
    if world_size() == 1:
        return values
    gathered: list[dict[Key, Value]] = [{} for _ in range(world_size())]
    dist.all_gather_object(gathered, values)
    return {key: value for of_rank in reversed(gathered) for key, value in of_rank.items()}

"""Attention that knows what it has read, and the loss that keeps it from reading that again.

Letters: B sources, K rows a source, T steps, S memory length, D query and key width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.layers.alignment import Attendable, Attended, attend
from core.layers.location import FollowedAlignment


class CoverageAlignment(FollowedAlignment):
    """v . tanh(W h + U m + w c + b), c the sum of the earlier weights (See, Liu and Manning 2017, equation 11)."""

    def __init__(self, d_model: int, memory_size: int) -> None:
        super().__init__(d_model, memory_size)
        self.cover = nn.Linear(1, d_model)

    def begin(self, memory: Attendable) -> Tensor:
        """Nothing is read yet: (B, S)."""
        return torch.zeros(memory.values.shape[:2], device=memory.values.device)

    def look(self, queries: Tensor, memory: Attendable, past: Tensor) -> Attended:
        """Attends with projected queries (B, K, D) and the sums of earlier weights (B, K, S)."""
        covered = self.cover(past.unsqueeze(3))  # (B, K, S, D)
        compared = torch.tanh(queries.unsqueeze(2) + memory.keys.unsqueeze(1) + covered)
        found = attend(self.energy(compared).squeeze(3), memory)
        return found._replace(past=past + found.weights)


def coverage_loss(weights: Tensor, is_token: Tensor, is_source: Tensor) -> Tensor:
    """How much attention goes where it went before: the sum of min(a, c) (See, Liu and Manning 2017, equation 12).

    Args:
        weights: a, one row a source, (B, T, S); c is their sum over earlier steps.
        is_token: True at the steps that count, (B, T).
        is_source: True where a state belongs to its source, (B, S).

    Returns:
        a scalar: the sum over sources, steps and states.
    """
    weights = weights * is_source.unsqueeze(1)
    covered = weights.cumsum(1) - weights
    return (torch.minimum(weights, covered).sum(2) * is_token).sum()

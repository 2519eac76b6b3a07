"""How long hypotheses may be, and how hypotheses of different lengths are compared."""

from __future__ import annotations

from dataclasses import dataclass
from math import floor

from torch import Tensor

from core.generation.constraints import Constraints
from core.generation.options import GenerationOptions


@dataclass(frozen=True)
class LengthNormaliser:
    """Turns sums of token scores into scores that rank hypotheses of different lengths.

    Lengths count the end token, as the sums do.
    """

    options: GenerationOptions

    def divisor(self, length: int) -> float:
        """What the sum of that many tokens is divided by; monotone in the length, and above zero."""
        length = max(length, 1)  # an empty hypothesis that was cut
        if self.options.length_penalty == "none":
            return 1.0
        base = float(length) if self.options.length_penalty == "average" else (5 + length) / 6
        return float(base**self.options.alpha)

    def score(self, total: float, length: int) -> float:
        """Ranks a hypothesis by the sum of its tokens' scores."""
        return total / self.divisor(length)

    def bound(self, total: float, shortest: int, longest: int) -> float:
        """The best score that an open hypothesis can end with, if no token adds more than zero to its sum.

        Its sum can only fall, and a sum at or below zero divided by d is largest for the largest d, which, the divisor
        being monotone, one of the two extreme lengths has. A sum above zero is bounded by no length: infinity.
        """
        if total > 0:
            return float("inf")
        return total / max(self.divisor(shortest), self.divisor(longest))


def length_limits(options: GenerationOptions, constraints: Constraints, memory_lengths: Tensor) -> list[int]:
    """The most tokens of each source's hypotheses, without the end token: memory lengths (B,) to B limits.

    The limit by ratio gives way where the minimum length or a constraint needs more room.
    """
    limits = []
    for source, length in enumerate(memory_lengths.tolist()):
        limit = options.max_length
        if options.max_length_ratio is not None:
            by_ratio = floor(options.max_length_ratio * length) + options.max_length_offset
            limit = min(limit, max(by_ratio, options.min_length, constraints.room_for(source), 1))
        limits.append(limit)
    return limits

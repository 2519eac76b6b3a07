"""Which values of the built-in corpus belong to which split."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Generic, TypeVar

from core.data.corpus import Split

Value = TypeVar("Value", int, tuple[int, int])

HELD_OUT: dict[Split, float] = {"val": 0.05, "test": 0.1}  # shares of the values; the others are train's


@dataclass(frozen=True)
class Values(Generic[Value]):
    """The values of one kind, which no two splits share."""

    train: list[Value]
    val: list[Value]
    test: list[Value]

    def of(self, split: Split) -> list[Value]:
        """Those of a split, in order."""
        values: list[Value] = getattr(self, split)
        return values


def divide(values: set[Value], basic: set[Value], rng: Random, bounds: Sequence[Value] = ()) -> Values[Value]:
    """Shares values out to the splits.

    Args:
        values: all of them.
        basic: those whose words follow from no others; they are always train's.
        rng: chooses.
        bounds: the values below each bound are shared out by themselves, so that every split has some of them.
    """
    shares: dict[Split, list[Value]] = {"train": sorted(basic), "val": [], "test": []}
    rest: list[Value] = sorted(values - basic)
    ends: list[int] = [*(bisect_left(rest, bound) for bound in bounds), len(rest)]
    for start, end in pairwise([0, *ends]):
        chosen = rng.sample(rest[start:end], end - start)
        val, held_out = (round(len(chosen) * share) for share in (HELD_OUT["val"], sum(HELD_OUT.values())))
        parts: dict[Split, list[Value]] = {
            "val": chosen[:val],
            "test": chosen[val:held_out],
            "train": chosen[held_out:],
        }
        for split, share in parts.items():
            shares[split].extend(share)
    return Values(*(sorted(share) for share in shares.values()))

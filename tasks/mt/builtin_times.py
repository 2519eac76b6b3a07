"""The times of the built-in corpus: the manners in which people say them, and which of them each split has."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from core.data.corpus import Split
from tasks.mt.builtin_frames import Frame
from tasks.mt.builtin_splits import Values, divide
from tasks.mt.builtin_values import Forms, time_forms

Manner = Literal["o'clock", "half past", "quarter", "five minutes", "minutes", "read out"]

# How often each comes: drawn by the minute, there would be one "half past" among sixty.
MANNERS: dict[Manner, int] = {
    "o'clock": 2,
    "half past": 3,
    "quarter": 3,
    "five minutes": 3,  # ten past, twenty to
    "minutes": 2,  # seven minutes past
    "read out": 3,  # nine thirty-five
}
QUARTERS = frozenset({15, 45})
ONLY_READ_OUT = frozenset({1, 59})  # "eine Minute nach" would need cases


@dataclass(frozen=True)
class Time:
    """A time of the clock's face.

    Attributes:
        minutes: since twelve, 0 to 719.
        manner: how it is said.
    """

    minutes: int
    manner: Manner

    def forms(self, slot: str = "time") -> Forms:
        """Its words."""
        return time_forms(self.minutes, self.manner == "read out", slot)


class Clock:
    """Draws times for sentences.

    A time belongs to one split, except the full and the half hours: half past nine is halb zehn, which follows from no
    other time's words, so that training needs all of them. Of those a split has, frame by frame, hours of its own: no
    sentence of the test is known, but all of its times are known from other sentences.

    Args:
        seed: of the division into splits.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        rng = Random(f"times {seed}")
        others = [time for time in range(720) if time % 30]
        quarters = {time for time in others if time % 60 in QUARTERS}
        fives = {time for time in others if time % 5 == 0} - quarters
        rest = set(others) - quarters - fives
        self.quarters, self.fives, self.rest = (divide(times, set(), rng) for times in (quarters, fives, rest))
        parts = (self.quarters, self.fives, self.rest)
        self.values = Values(*([*a, *b, *c] for a, b, c in zip(*map(_by_split, parts), strict=True)))

    def hours(self, frame: Frame, split: Split) -> list[int]:
        """The hours, 0 to 11, whose full and half hour a split may name in a frame."""
        shuffled = Random(f"hours {self.seed} {frame.english}").sample(range(12), 12)
        shares: dict[Split, list[int]] = {"val": shuffled[:1], "test": shuffled[1:3], "train": shuffled[3:]}
        return shares[split]

    def draw_two(self, frame: Frame, split: Split, rng: Random) -> tuple[Time, Time]:
        """Draws two different times, each in a manner of its own."""
        time = other = self._draw(frame, split, rng)
        while other.minutes == time.minutes:
            other = self._draw(frame, split, rng)
        return time, other

    def _draw(self, frame: Frame, split: Split, rng: Random) -> Time:
        manner = rng.choices(list(MANNERS), list(MANNERS.values()))[0]
        return Time(rng.choice(self._times(manner, frame, split)), manner)

    def _times(self, manner: Manner, frame: Frame, split: Split) -> list[int]:
        """All times that may be said in a manner."""
        if manner == "o'clock":
            return [60 * hour for hour in self.hours(frame, split)]
        if manner == "half past":
            return [60 * hour + 30 for hour in self.hours(frame, split)]
        if manner == "quarter":
            return self.quarters.of(split)
        if manner == "five minutes":
            return self.fives.of(split)
        if manner == "minutes":
            return [time for time in self.rest.of(split) if time % 60 not in ONLY_READ_OUT]
        return [*self.values.of(split), *(60 * hour + 30 for hour in self.hours(frame, split))]


def _by_split(values: Values[int]) -> tuple[list[int], list[int], list[int]]:
    return values.train, values.val, values.test

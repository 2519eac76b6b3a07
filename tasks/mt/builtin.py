"""The built-in corpus: numbers, times, dates and prices in words, from English to German, made by rule in a second.

German inverts the digits below a hundred (einundzwanzig), counts hours towards the next (half past nine is halb zehn),
declines its ordinals and splits its verbs: a real problem of alignment, with one right answer for each source.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from random import Random
from typing import Generic, TypeVar

from core.data.corpus import Corpus, Split, TextPair
from core.errors import ConfigError
from tasks.mt.builtin_frames import DAY_PARTS, FRAMES, GOODS, NAMES, Frame, Kind
from tasks.mt.builtin_values import CURRENCIES, Forms, date_forms, number_forms, price_forms, time_forms, weekday

Value = TypeVar("Value", int, tuple[int, int])

KINDS: dict[Kind, int] = {"number": 4, "time": 3, "date": 2, "price": 3}  # and how often they come
HELD_OUT: dict[Split, float] = {"val": 0.05, "test": 0.1}  # shares of the values; the others are train's
YEARS = (1904, 2051)  # every fourth of which has a 29th of February
PLAIN = 0.25  # share of the sentences without a capital and a full stop, as people type them


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


class BuiltInCorpus(Corpus):
    """English sentences about numbers, times, dates and prices, and their German translations.

    No number, time, day of the year or sum of money of one split occurs in another, in whatever sentence: what is
    tested is whether the model can compose words that it knows. The same seed gives the same corpus on all machines.

    Args:
        train: how many pairs to make for training.
        val: for validation.
        test: for the test.
        seed: of the choice of values and sentences.

    Raises:
        ConfigError: a size is not positive.
    """

    def __init__(self, train: int = 12_000, val: int = 500, test: int = 500, seed: int = 1) -> None:
        self.sizes: dict[Split, int] = {"train": train, "val": val, "test": test}
        self.seed = seed
        for split, size in self.sizes.items():
            if size < 1:
                raise ConfigError(f"data.corpus.{split} must be at least 1, got {size}")
        rng = Random(f"values {seed}")  # a string seeds the same everywhere, with no hash()
        self.numbers = divide(_numbers(rng), {*range(21), *range(30, 101, 10), 1_000, 1_000_000}, rng, (100, 1_000))
        hours, halves = set(range(0, 720, 60)), set(range(30, 720, 60))  # halb zehn doesn't follow from neun
        self.times = divide(set(range(720)), hours | halves, rng)
        self.days = divide(_days_of_year(), set(), rng)
        self.prices = divide(_prices(rng), {*range(1, 21), *range(100, 2100, 100)}, rng)

    def read(self, split: Split) -> list[TextPair]:
        """Makes one split.

        Raises:
            ConfigError: there aren't as many different sentences as were asked for.
        """
        rng = Random(f"{split} {self.seed}")
        kinds = [kind for kind, weight in KINDS.items() for _ in range(weight)]
        pairs: dict[str, str] = {}
        for _ in range(20 * self.sizes[split]):
            frame = rng.choice(FRAMES[rng.choice(kinds)])
            source, target = self._sentence(frame, split, rng)
            pairs.setdefault(source, target)
            if len(pairs) == self.sizes[split]:
                return [TextPair(number, source, (target,)) for number, (source, target) in enumerate(pairs.items())]
        raise ConfigError(
            f"data.corpus.{split} is {self.sizes[split]}, but there are only about {len(pairs)} sentences"
        )

    def _sentence(self, frame: Frame, split: Split, rng: Random) -> tuple[str, str]:
        """Fills the slots of a frame with values of a split."""
        english, german = _names(rng)
        for forms in self._values(frame, split, rng):
            english.update(forms.english)
            german.update(forms.german)
        source, target = frame.english.format(**english), frame.german.format(**german)
        if frame.phrase or rng.random() < PLAIN:
            return source, target
        end = "" if frame.question else "."
        return source[0].upper() + source[1:] + end, target[0].upper() + target[1:] + end

    def _values(self, frame: Frame, split: Split, rng: Random) -> list[Forms]:
        """Draws two values of each kind, and what goes with them; in a range the smaller first, but of times any."""
        ordered = sorted if frame.range else list
        numbers = self.numbers.of(split)
        fitting = range(bisect_left(numbers, frame.low), bisect_right(numbers, frame.high))
        number, other_number = ordered(numbers[index] for index in rng.sample(fitting, 2))
        time, other_time = rng.sample(self.times.of(split), 2)
        read_out = rng.random() < 0.4
        month_first, with_year, currency = rng.random() < 0.3, rng.random() < 0.5, rng.choice(CURRENCIES)
        day, other_day = ordered(self._days(split, with_year, rng))
        price, other_price = ordered(rng.sample(self.prices.of(split), 2))
        return [
            number_forms(number),
            number_forms(other_number, "other_number"),
            time_forms(time, read_out),
            time_forms(other_time, read_out, "other_time"),
            _day_part(time // 60 or 12, rng),
            date_forms(day, month_first, with_year),
            date_forms(other_day, month_first, with_year, "other_date"),
            price_forms(price, currency),
            price_forms(other_price, currency, "other_price"),
        ]

    def _days(self, split: Split, with_year: bool, rng: Random) -> list[date]:
        """Draws two days: of two years, or of one where the year isn't named."""
        chosen = rng.sample(self.days.of(split), 2)
        first, second = rng.randint(*YEARS), rng.randint(*YEARS)
        years = (first, second) if with_year else (first, first)
        # The 29th of February is in the leap year at or before the one that was drawn.
        return [date(year // 4 * 4 if day == (2, 29) else year, *day) for day, year in zip(chosen, years, strict=True)]


def _numbers(rng: Random) -> set[int]:
    """All numbers below 100 and a sample of the longer ones, each length with its share."""
    chosen = {*range(100), *rng.sample(range(100, 1_000), 600), *rng.sample(range(1_000, 10_000), 600)}
    chosen |= {*rng.sample(range(10_000, 1_000_000), 500), 1_000, 1_000_000}
    return chosen | {1_000 * number for number in rng.sample(range(1_000, 10_000), 200)}


def _days_of_year() -> set[tuple[int, int]]:
    """Months and days, the 29th of February among them."""
    first = date(2000, 1, 1).toordinal()
    return {(day.month, day.day) for day in map(date.fromordinal, range(first, first + 366))}


def _prices(rng: Random) -> set[int]:
    """Sums in cents: small ones, whole ones and all sorts of others."""
    whole = {100 * number for number in (*range(1, 101), *rng.sample(range(101, 1_000), 200))}
    return {*range(1, 100), *whole, *rng.sample(range(101, 10_000), 1_200), *rng.sample(range(10_000, 100_000), 300)}


def _day_part(hour: int, rng: Random) -> Forms:
    english, german = rng.choice([part[:2] for part in DAY_PARTS if hour in part[2]])
    return Forms({"day_part": english}, {"day_part": german})


def _names(rng: Random) -> tuple[dict[str, str], dict[str, str]]:
    """Draws a name for each slot that isn't a value's: by slot, in English and in German."""
    chosen = {slot: rng.choice(names) for slot, names in NAMES.items()}
    day = rng.randrange(7)
    good, nominative, accusative = rng.choice(GOODS)
    english = {slot: name[0] for slot, name in chosen.items()} | {"weekday": weekday(day, "en"), "good": good}
    german = {slot: name[1] for slot, name in chosen.items()} | {"weekday": weekday(day, "de"), "good": nominative}
    return english, german | {"good_accusative": accusative}

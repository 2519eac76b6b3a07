"""The built-in corpus: numbers, times, dates and prices in words, from English to German, made by rule in a second.

German inverts the digits below a hundred (einundzwanzig), counts hours towards the next (half past nine is halb zehn),
declines its ordinals and splits its verbs: a real problem of alignment, with one right answer for each source.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import date
from random import Random
from typing import TypeVar

from core.data.corpus import Corpus, Split, TextPair
from core.errors import ConfigError
from tasks.mt.builtin_frames import DAY_PARTS, FRAMES, GOODS, NAMES, Frame, Kind
from tasks.mt.builtin_splits import divide
from tasks.mt.builtin_times import MANNERS, Clock
from tasks.mt.builtin_values import CURRENCIES, Forms, date_forms, number_forms, price_forms, weekday

KINDS: dict[Kind, int] = {"number": 4, "time": 4, "date": 2, "price": 3}  # and how often they come
TOPICS = ("number", "ordinal", *MANNERS, "date", "price")  # what sentences are scored by
YEARS = (1904, 2051)  # every fourth of which has a 29th of February
Drawn = TypeVar("Drawn", int, date)

PLAIN = 0.25  # share of the sentences without a capital and a full stop, as people type them


class BuiltInCorpus(Corpus):
    """English sentences about numbers, times, dates and prices, and their German translations.

    No number, time, day of the year or sum of money of one split occurs in another, in whatever sentence: what is
    tested is whether the model can compose words that it knows. Full and half hours, which follow from nothing else,
    are the exception (see `Clock`). The same seed gives the same corpus on all machines.

    Args:
        train: how many pairs to make for training.
        val: for validation.
        test: for the test.
        seed: of the choice of values and sentences.

    Raises:
        ConfigError: a size is not positive.
    """

    def __init__(self, train: int = 12_000, val: int = 1_000, test: int = 1_000, seed: int = 1) -> None:
        self.sizes: dict[Split, int] = {"train": train, "val": val, "test": test}
        self.seed = seed
        for split, size in self.sizes.items():
            if size < 1:
                raise ConfigError(f"data.corpus.{split} must be at least 1, got {size}")
        rng = Random(f"values {seed}")  # a string seeds the same everywhere, with no hash()
        self.numbers = divide(_numbers(rng), {*range(21), *range(30, 101, 10), 1_000, 1_000_000}, rng, (100, 1_000))
        self.clock = Clock(seed)
        self.days = divide(_days_of_year(), set(), rng)
        self.prices = divide(_prices(rng), {*range(1, 21), *range(100, 2100, 100)}, rng)

    def read(self, split: Split) -> list[TextPair]:
        """Makes one split.

        Raises:
            ConfigError: there aren't as many different sentences as were asked for.
        """
        made = self._make(split)
        return [TextPair(number, source, (target,)) for number, (source, (target, _)) in enumerate(made.items())]

    def topics(self, split: Split) -> list[str]:
        """What each pair of a split is about, by id: one of TOPICS."""
        return [topic for _, topic in self._make(split).values()]

    def _make(self, split: Split) -> dict[str, tuple[str, str]]:
        """Target and topic by source."""
        rng = Random(f"{split} {self.seed}")
        kinds = [kind for kind, weight in KINDS.items() for _ in range(weight)]
        made: dict[str, tuple[str, str]] = {}
        for _ in range(20 * self.sizes[split]):
            frame = rng.choice(FRAMES[rng.choice(kinds)])
            source, *rest = self._sentence(frame, split, rng)
            made.setdefault(source, (rest[0], rest[1]))
            if len(made) == self.sizes[split]:
                return made
        raise ConfigError(f"data.corpus.{split} is {self.sizes[split]}, but there are only about {len(made)} sentences")

    def _sentence(self, frame: Frame, split: Split, rng: Random) -> tuple[str, str, str]:
        """Fills the slots of a frame with values of a split: source, target and topic."""
        english, german = _names(rng)
        topic, values = self._values(frame, split, rng)
        for forms in values:
            english.update(forms.english)
            german.update(forms.german)
        source, target = frame.english.format(**english), frame.german.format(**german)
        if frame.phrase or rng.random() < PLAIN:
            return source, target, topic
        end = "" if frame.question else "."
        return source[0].upper() + source[1:] + end, target[0].upper() + target[1:] + end, topic

    def _values(self, frame: Frame, split: Split, rng: Random) -> tuple[str, list[Forms]]:
        """Draws two values for each slot, in a range the smaller first, but of times any; says what they are about."""
        if frame.has("number"):
            return "ordinal" if frame.has("number_ordinal") else "number", self._number_forms(frame, split, rng)
        if frame.has("price"):
            return "price", self._price_forms(frame, split, rng)
        time, other_time = self.clock.draw_two(frame, split, rng)
        forms = [time.forms(), other_time.forms("other_time"), _day_part(time.minutes // 60 or 12, rng)]
        if frame.has("date"):
            return "date", forms + self._date_forms(frame, split, rng)
        return time.manner, forms

    def _number_forms(self, frame: Frame, split: Split, rng: Random) -> list[Forms]:
        numbers = self.numbers.of(split)
        fitting = range(bisect_left(numbers, frame.low), bisect_right(numbers, frame.high))
        number, other = _ordered([numbers[index] for index in rng.sample(fitting, 2)], frame)
        return [number_forms(number), number_forms(other, "other_number")]

    def _price_forms(self, frame: Frame, split: Split, rng: Random) -> list[Forms]:
        currency = rng.choice(CURRENCIES)
        price, other = _ordered(rng.sample(self.prices.of(split), 2), frame)
        return [price_forms(price, currency), price_forms(other, currency, "other_price")]

    def _date_forms(self, frame: Frame, split: Split, rng: Random) -> list[Forms]:
        month_first, with_year = rng.random() < 0.3, rng.random() < 0.5
        day, other = _ordered(self._days(split, with_year, rng), frame)
        return [date_forms(day, month_first, with_year), date_forms(other, month_first, with_year, "other_date")]

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


def _ordered(values: list[Drawn], frame: Frame) -> list[Drawn]:
    """Two values, in a range the smaller first."""
    return sorted(values) if frame.range else values


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

"""What the built-in speech says: numbers, digits, times, dates, prices and short commands, by rule.

Texts are in lower case, without punctuation and hyphens, as they are to be transcribed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from string import Formatter
from typing import Literal, TypeVar

from num2words import num2words

Kind = Literal["number", "digits", "time", "date", "price", "command"]
Card = TypeVar("Card")
KINDS: dict[Kind, int] = {"number": 3, "digits": 2, "time": 3, "date": 2, "price": 2, "command": 8}  # how often


@dataclass(frozen=True)
class Sentence:
    """A text, and what kind of a sentence it is."""

    text: str
    kind: Kind


@cache
def cardinal(number: int) -> str:
    """A number in words: one hundred and twenty one."""
    words: str = num2words(number)
    return words.replace("-", " ").replace(",", "")


@cache
def ordinal(number: int) -> str:
    """A number in order: twenty first."""
    words: str = num2words(number, to="ordinal")
    return words.replace("-", " ")


@cache
def year(number: int) -> str:
    """A year: nineteen ninety nine."""
    words: str = num2words(number, to="year")
    return words.replace("-", " ")


def time_of_day(hour: int, minute: int) -> str:
    """A time as a clock shows it, of hours from 1 to 12: seven thirty, seven oh five; a full hour is seven."""
    if not minute:
        return cardinal(hour)
    return f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"


def spoken_time(hour: int, minute: int) -> str:
    """A time as people say it, in steps of five minutes: a quarter past seven, ten to eight, half past one."""
    if minute == 30:
        return f"half past {cardinal(hour)}"
    distance = min(minute, 60 - minute)
    words = "a quarter" if distance == 15 else cardinal(distance)
    return f"{words} past {cardinal(hour)}" if minute < 30 else f"{words} to {cardinal(hour % 12 + 1)}"


def _number(rng: Random) -> str:
    return cardinal(rng.randrange(10 ** rng.choice((2, 3, 3))))


def _digits(rng: Random) -> str:
    return " ".join(cardinal(rng.randrange(10)) for _ in range(rng.randint(3, 6)))


def _time(rng: Random) -> str:
    hour = rng.randint(1, 12)
    if rng.random() < 0.5:
        return spoken_time(hour, rng.randrange(5, 60, 5))
    return time_of_day(hour, rng.choice((0, 5, 15, 30, 45, rng.randrange(60))))


def _date(rng: Random) -> str:
    day, month = ordinal(rng.randint(1, 31)), rng.choice(MONTHS)
    return f"the {day} of {month}" if rng.random() < 0.5 else f"{month} the {day}"


def _price(rng: Random) -> str:
    coins, cents = rng.choice((("dollars", "cents"), ("pounds", "pence"), ("euros", "cents")))
    whole = f"{cardinal(rng.randint(2, 99))} {coins}"
    return whole if rng.random() < 0.5 else f"{whole} and {cardinal(rng.randrange(5, 100, 5))} {cents}"


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
# What a slot may hold: one of these words, or what a function makes.
SLOTS: dict[str, tuple[str, ...] | Callable[[Random], str]] = {
    "number": _number,
    "other_number": _number,
    "small": lambda rng: cardinal(rng.randint(2, 60)),
    "ordinal": lambda rng: ordinal(rng.randint(1, 31)),
    "digits": _digits,
    "time": _time,
    "other_time": _time,
    "date": _date,
    "year": lambda rng: year(rng.randint(1960, 2029)),
    "price": _price,
    "weekday": WEEKDAYS,
    "day": ("today", "tomorrow", "tonight", *WEEKDAYS),
    "part": ("in the morning", "in the afternoon", "in the evening"),
    "room": ("kitchen", "bedroom", "bathroom", "living room", "office", "garage", "garden", "hall"),
    "device": ("light", "lamp", "fan", "heater", "radio", "television", "camera"),
    "colour": ("red", "green", "blue", "yellow", "white"),
    "level": ("low", "medium", "high"),
    "person": ("anna", "peter", "maria", "paul", "julia", "thomas", "my mother", "my brother", "the doctor"),
    "city": ("london", "paris", "berlin", "boston", "chicago", "dublin", "madrid", "rome", "vienna", "tokyo"),
    "place": ("the station", "the airport", "the hospital", "the school", "the hotel", "the museum"),
    "music": ("jazz", "rock", "piano music", "dance music", "folk songs"),
    "track": ("song", "album", "video", "chapter", "station"),
    "item": ("milk", "bread", "butter", "apples", "coffee", "sugar", "eggs", "tomatoes"),
    "task": ("call the bank", "water the plants", "feed the cat", "pay the rent", "clean the windows", "buy flowers"),
    "event": ("meeting", "concert", "lesson", "party", "match", "dinner"),
    "vehicle": ("train", "bus", "flight", "ferry"),
    "thing": ("door", "window", "gate", "curtain"),
    "good": ("ticket", "book", "coat", "table", "shirt", "cake", "picture"),
    "greeting": ("morning", "afternoon", "evening", "night"),
    "message": ("i am late", "see you soon", "happy birthday", "good luck", "please call me back"),
}

FRAMES: dict[Kind, tuple[str, ...]] = {
    "number": (
        *("{number}", "{number}", "number {number}", "the answer is {number}", "go to page {number}"),
        *("the {ordinal} floor", "it is the {ordinal} question", "{number} plus {other_number}"),
        *("{number} times {other_number}", "count from {number} to {other_number}", "room {number} is free"),
        *("bus {number} goes to {city}", "there are {number} people here", "he is {small} years old"),
    ),
    "digits": (
        *("{digits}", "{digits}", "the code is {digits}", "dial {digits}", "my number is {digits}"),
        *("the password is {digits}", "call {digits} now"),
    ),
    "time": (
        *("{time}", "it is {time}", "at {time} {part}", "the {event} begins at {time}"),
        *("the {vehicle} leaves at {time}", "the {vehicle} to {city} leaves at {time}"),
        *("from {time} until {other_time}", "we meet at {place} at {time}", "{person} arrives at {time}"),
        "the {event} ends at {time} {part}",
    ),
    "date": (
        *("{date}", "{date} {year}", "{weekday} {date}", "today is {date}", "the {event} is on {date}"),
        *("he was born on {date} {year}", "we leave on {weekday} {date}", "the shop is closed until {date}"),
    ),
    "price": (
        *("{price}", "it costs {price}", "the {good} costs {price}", "that makes {price}", "i paid {price}"),
        *("{person} owes me {price}", "a ticket to {city} costs {price}", "the {good} is only {price} {day}"),
    ),
    "command": (
        *("turn on the {room} {device}", "turn off the {room} {device}", "switch off the {device}"),
        *("turn on the {device} in the {room}", "turn the {device} in the {room} to {level}", "good {greeting}"),
        *("make the {room} {device} {colour}", "make the lights in the {room} {colour}"),
        *("dim the {room} light to {small} percent", "set the {room} {device} to {level}"),
        *("open the {room} {thing}", "close the {room} {thing}", "is the {room} {thing} open"),
        *("set the alarm for {time}", "wake me up at {time} {day}", "set a timer for {small} minutes"),
        *("stop the timer", "cancel the alarm for {weekday}", "how much time is left", "stop the music"),
        *("play some {music}", "play {music} in the {room}", "play the next {track}", "play the last {track} again"),
        *("skip this {track}", "set the volume to {small} percent", "make it a little louder"),
        *("call {person}", "call {person} at {time}", "tell {person} {message}", "write to {person} {message}"),
        *("read my new messages", "add {item} to my list", "buy {small} {item}", "we need {item} for {day}"),
        *("remind me to {task} {day}", "remind me at {time} to {task}", "will it rain in {city} {day}"),
        *("what is the weather in {city} {day}", "how far is it to {city}", "what time is it in {city}"),
        *("drive me to {place}", "show me the way from {place} to {city}", "show me the pictures from {city}"),
        *("set the heating in the {room} to {small} degrees", "book a table for {small} at {time}"),
        *("cancel the {event} on {weekday}", "move the {event} to {weekday} {part}", "when is my next {event}"),
    ),
}


class Writer:
    """Makes sentences at random, but evenly: each frame and each word comes before one of its kind comes again.

    Args:
        rng: chooses.
    """

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.decks: dict[str, list[int]] = {}

    def draw(self) -> Sentence:
        """Draws a kind, a frame of it, and what its slots hold."""
        kind = self._next("kind", [name for name, count in KINDS.items() for _ in range(count)])
        frame = self._next(f"frame {kind}", FRAMES[kind])
        names = dict.fromkeys(name for _, name, _, _ in Formatter().parse(frame) if name)
        return Sentence(frame.format(**{name: self._fill(name) for name in names}), kind)

    def _fill(self, slot: str) -> str:
        held = SLOTS[slot]
        return self._next(slot, held) if isinstance(held, tuple) else held(self.rng)

    def _next(self, deck: str, cards: Sequence[Card]) -> Card:
        """Takes the top card of a deck, which is shuffled anew when it is used up."""
        left = self.decks.setdefault(deck, [])
        if not left:
            left.extend(self.rng.sample(range(len(cards)), len(cards)))
        return cards[left.pop()]

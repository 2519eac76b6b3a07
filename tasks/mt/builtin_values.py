"""Numbers, times, dates and prices in English and German words: what the built-in corpus translates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Literal

from babel.dates import get_day_names, get_month_names
from babel.numbers import get_currency_name
from num2words import num2words

Language = Literal["en", "de"]
CURRENCIES = ("EUR", "USD", "CHF")
_CENTS = {"EUR": ("cent", "cents", "Cent"), "USD": ("cent", "cents", "Cent"), "CHF": ("rappen", "rappen", "Rappen")}
_INDEFINITE = {"nominative": "ein", "accusative": "einen", "dative": "einem"}  # all coins here are masculine


@dataclass(frozen=True)
class Forms:
    """One value in words.

    Attributes:
        english: what may stand in an English frame, by the name of its slot.
        german: the same for the German one, where a value has several cases.
    """

    english: dict[str, str]
    german: dict[str, str]


@cache
def cardinal(number: int, language: Language) -> str:
    """A number in words: twenty-one, einundzwanzig; without the commas that num2words sets after thousands."""
    words: str = num2words(number, lang=language)
    return words.replace(",", "")


def counted(number: int) -> str:
    """A German number of at least 2 before a plural noun: einhundertein (Tage), where the number is einhunderteins."""
    words = cardinal(number, "de")
    return words[:-1] if number % 100 == 1 else words


@cache
def ordinal(number: int, language: Language) -> str:
    """A number in order: twenty-first; einundzwanzigste, the form after a definite article in the nominative."""
    words: str = num2words(number, lang=language, to="ordinal")
    return words


@cache
def year(number: int, language: Language) -> str:
    """A year: nineteen ninety-nine, neunzehnhundertneunundneunzig."""
    words: str = num2words(number, lang=language, to="year")
    return words


@cache
def month(number: int, language: Language) -> str:
    """The name of a month, 1 for January."""
    name: str = get_month_names("wide", locale=language)[number]
    return name


@cache
def weekday(number: int, language: Language) -> str:
    """The name of a day of the week, 0 for Monday."""
    name: str = get_day_names("wide", locale=language)[number]
    return name


@cache
def coin(currency: str, count: int, language: Language) -> str:
    """The name of a currency after a number: euro, euros."""
    name: str = get_currency_name(currency, count=count, locale=language)
    return name


def number_forms(number: int, slot: str = "number") -> Forms:
    """A number to be named, to count with (from 2 on) and to order with (from 1 on)."""
    english = {slot: cardinal(number, "en"), f"{slot}_ordinal": ordinal(number, "en")}
    german = {slot: cardinal(number, "de"), f"{slot}_count": counted(number), f"{slot}_ordinal": ordinal(number, "de")}
    return Forms(english, german)


def time_forms(minutes: int, read_out: bool, slot: str = "time") -> Forms:
    """A time of the clock's face, as minutes since twelve (0 to 719).

    Args:
        minutes: 585 is a quarter to ten.
        read_out: as digits are read (nine forty-five, neun Uhr fünfundvierzig), not as people speak
            (a quarter to ten, Viertel vor zehn). A single minute is always read out: it would need cases in German.
        slot: its name in the frames.
    """
    hour, minute = divmod(minutes, 60)
    read_out = minute in (1, 59) or (read_out and minute != 0)
    english, german = (_read_out if read_out else _spoken)(hour or 12, minute)
    return Forms({slot: english}, {slot: german})


def _read_out(hour: int, minute: int) -> tuple[str, str]:
    zero = "oh " if minute < 10 else ""
    english = f"{cardinal(hour, 'en')} {zero}{cardinal(minute, 'en')}"
    return english, f"{_o_clock(hour)} {cardinal(minute, 'de')}"


def _spoken(hour: int, minute: int) -> tuple[str, str]:
    following = hour % 12 + 1
    if minute == 0:
        return f"{cardinal(hour, 'en')} o'clock", _o_clock(hour)
    if minute == 30:  # German names the hour that is half over
        return f"half past {cardinal(hour, 'en')}", f"halb {cardinal(following, 'de')}"
    if minute < 30:
        english, german = _distance(minute)
        return f"{english} past {cardinal(hour, 'en')}", f"{german} nach {cardinal(hour, 'de')}"
    english, german = _distance(60 - minute)
    return f"{english} to {cardinal(following, 'en')}", f"{german} vor {cardinal(following, 'de')}"


def _o_clock(hour: int) -> str:
    return "ein Uhr" if hour == 1 else f"{cardinal(hour, 'de')} Uhr"


def _distance(minutes: int) -> tuple[str, str]:
    if minutes == 15:
        return "a quarter", "Viertel"
    unit = ("", "") if minutes % 5 == 0 else (" minutes", " Minuten")
    return cardinal(minutes, "en") + unit[0], cardinal(minutes, "de") + unit[1]


def date_forms(day: date, month_first: bool, with_year: bool, slot: str = "date") -> Forms:
    """A day: `date` in the nominative, `date_dative`, and `date_weekday` to follow "on", "am".

    Args:
        day: 21 March 1999.
        month_first: March the twenty-first, not the twenty-first of March. German has one order.
        with_year: name the year too.
        slot: its name in the frames.
    """
    nth = ordinal(day.day, "en")
    english = f"{month(day.month, 'en')} the {nth}" if month_first else f"the {nth} of {month(day.month, 'en')}"
    english += f" {year(day.year, 'en')}" if with_year else ""
    rest = f" {month(day.month, 'de')}" + (f" {year(day.year, 'de')}" if with_year else "")
    nominative = ordinal(day.day, "de") + rest
    dative = ordinal(day.day, "de") + "n" + rest
    return Forms(
        {slot: english, f"{slot}_weekday": f"{weekday(day.weekday(), 'en')}, {english}"},
        {
            slot: nominative,
            f"{slot}_dative": dative,
            f"{slot}_weekday": f"{weekday(day.weekday(), 'de')}, dem {dative}",
        },
    )


def price_forms(cents: int, currency: str, slot: str = "price") -> Forms:
    """A sum of money of at least one cent, in the German cases `price`, `price_accusative` and `price_dative`."""
    whole, rest = divmod(cents, 100)
    one, many, german_cent = _CENTS[currency]
    english = [f"{cardinal(whole, 'en')} {coin(currency, whole, 'en')}"] if whole else []
    english += [f"{cardinal(rest, 'en')} {one if rest == 1 else many}"] if rest else []
    german = {
        case: " und ".join(
            f"{article if count == 1 else counted(count)} {unit}"
            for count, unit in ((whole, coin(currency, whole, "de")), (rest, german_cent))
            if count
        )
        for case, article in _INDEFINITE.items()
    }
    return Forms(
        {slot: " and ".join(english)},
        {slot: german["nominative"], f"{slot}_accusative": german["accusative"], f"{slot}_dative": german["dative"]},
    )

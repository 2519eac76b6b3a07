"""Where in a raw text its tokens stand, through all that normalisation does to it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

from core.tokenization.trained import TrainedTokenizer

Offsets = list[tuple[int, int]]


def encode_with_offsets(tokenizer: TrainedTokenizer, text: str) -> tuple[list[int], Offsets]:
    """Ids of a text, as `encode` gives them, and where they stand in it.

    Args:
        tokenizer: of whatever kind.
        text: as it was read.

    Returns:
        the ids, and for each the characters `text[begin:end]` that it was made from, without the space before a word.
        A character that was cut into several tokens belongs to each of them; where normalisation joins characters,
        all of them belong to what it made.
    """
    normalised = tokenizer.normalise(text)
    if not normalised:
        return [], []
    places = align(tokenizer.normalise, text, normalised)
    encoding = tokenizer.cut(normalised)
    shift = len(tokenizer.prefix)
    offsets = [(begin - shift, end - shift) for begin, end in encoding.offsets]
    return encoding.ids, [_raw(normalised, places, max(begin, 0), end) for begin, end in offsets]


def _raw(normalised: str, places: Offsets, begin: int, end: int) -> tuple[int, int]:
    """The raw characters of a piece of the normalised text."""
    while begin < end - 1 and normalised[begin].isspace():
        begin += 1
    return places[begin][0], places[max(begin, end - 1)][1]


def align(normalise: Callable[[str], str], text: str, normalised: str) -> Offsets:
    """The raw characters that each character of a normalised text was made from.

    Normal forms and lower case never look beyond white space, nor, but for a few letters, beyond a letter with its
    marks: what is normalised by itself to the same thing is aligned by itself, else the whole that contains it.

    Args:
        normalise: what made the one of the other.
        text: as it was read.
        normalised: the same, normalised.

    Returns:
        begin and end in `text` for each character of `normalised`.
    """
    if normalised == text or (text.isascii() and len(text) == len(normalised)):  # at most lower case, or tabs to spaces
        return [(place, place + 1) for place in range(len(text))]
    runs = [match.span() for match in re.finditer(r"\s+|\S+", text)]
    collapsed = " " in normalise("a  b") and normalise("a  b") == "a b"
    if collapsed:
        runs = [run for run in runs if not text[run[0]].isspace()]
    places: Offsets = []
    made = ""
    for begin, end in runs:
        if collapsed and made:
            places.append((places[-1][1], begin))  # the space between two words is what stood between them
            made += " "
        part = text[begin:end] if text[begin].isspace() else normalise(text[begin:end])
        places += _align_run(normalise, text[begin:end], part, begin)
        made += part
    return places if made == normalised else [(0, len(text))] * len(normalised)


def _align_run(normalise: Callable[[str], str], run: str, made: str, shift: int) -> Offsets:
    """Aligns a word, or a run of white space, letter by letter where that makes the same of it."""
    places: Offsets = []
    parts = []
    for begin, end in _letters(run):
        part = run[begin:end] if run.isspace() else normalise(run[begin:end])
        places += [(shift + begin, shift + end)] * len(part)
        parts.append(part)
    return places if "".join(parts) == made else [(shift, shift + len(run))] * len(made)


def _letters(run: str) -> Iterator[tuple[int, int]]:
    """The letters of a run, each with the marks that follow it."""
    begin = 0
    for place in range(1, len(run)):
        if not _joins(run[place - 1], run[place]):
            yield begin, place
            begin = place
    if run:
        yield begin, len(run)


def _joins(before: str, letter: str) -> bool:
    """Whether a character may be composed with the one before it: marks, Hangul's vowels and ends, surrogates."""
    surrogates = "\ud800" <= before <= "\udbff" and "\udc00" <= letter <= "\udfff"
    return (
        surrogates
        or bool(unicodedata.combining(letter))
        or unicodedata.category(letter)[0] == "M"
        or ("\u1160" <= letter <= "\u11ff")
    )

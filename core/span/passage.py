"""Passages, and the windows that they are read in.

Letters: N tokens of a passage.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError
from core.tokenization import TrainedTokenizer
from core.tokenization.offsets import encode_with_offsets

Integers = NDArray[np.int32]
# A line's end; or a full stop, with what closes behind it, then a space and what a sentence may begin with.
BOUNDARY = re.compile(r"\s*\n\s*|(?<=[.!?])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[A-Z0-9])")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text begin and end: its lines, cut behind a full stop that a capital or a digit follows.

    A rule without a list of abbreviations, so that it cuts behind "Mr." too.
    """
    starts = [0, *(match.end() for match in BOUNDARY.finditer(text))]
    ends = [*starts[1:], len(text)]
    spans = [(start, start + len(text[start:end].rstrip())) for start, end in zip(starts, ends, strict=True)]
    return [(start, end) for start, end in spans if start < end]


def whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Widens a piece of a text to the words that it begins and ends in: part of a word is no answer.

    Words are letters that have capitals, or digits: writing that sets no spaces between words is left as it is.
    """
    while 0 < start < end and _same_word(text[start - 1], text[start]):
        start -= 1
    while start < end < len(text) and _same_word(text[end - 1], text[end]):
        end += 1
    return start, end


def _same_word(before: str, behind: str) -> bool:
    letters = before.lower() != before.upper() and behind.lower() != behind.upper()
    return letters or (before.isdecimal() and behind.isdecimal())


@dataclass(frozen=True)
class Passage:
    """A text that is asked about, cut into tokens.

    Attributes:
        text: as it was read.
        ids: (N,) its tokens.
        starts: (N,) where in the text they begin.
        ends: (N,) and where they end.
        sentences: (N,) the number of the sentence that they belong to, from 1.
    """

    text: str
    ids: Integers
    starts: Integers
    ends: Integers
    sentences: Integers

    @classmethod
    def of(cls, text: str, tokenizer: TrainedTokenizer) -> Passage:
        """Cuts a text."""
        ids, offsets = encode_with_offsets(tokenizer, text)
        begins = [start for start, _ in sentence_spans(text)]
        sentences = [max(1, bisect_right(begins, start)) for start, _ in offsets]
        starts, ends = [start for start, _ in offsets], [end for _, end in offsets]
        return cls(text, *(np.array(values, dtype=np.int32) for values in (ids, starts, ends, sentences)))

    def __len__(self) -> int:
        return len(self.ids)

    def tokens_of(self, start: int, end: int) -> tuple[int, int] | None:
        """The first and the last token of the characters from start to end; None where no token has any of them."""
        inside = np.flatnonzero((self.ends > start) & (self.starts < end))
        return (int(inside[0]), int(inside[-1])) if len(inside) else None


@dataclass(frozen=True)
class Window:
    """A part of a passage, read together with one question: `bos question eos passage eos`.

    Attributes:
        number: its own, in its split.
        question: the question's number in its corpus.
        passage: what it is a part of.
        first: its first token of the passage.
        last: behind its last one.
        shift: how many tokens stand before the passage's.
    """

    number: int
    question: int
    passage: Passage
    first: int
    last: int
    shift: int

    def characters(self, start: int, end: int) -> tuple[int, int]:
        """Where in the raw text the tokens from start to end stand, both within the window's source."""
        offset = self.first - self.shift
        return int(self.passage.starts[start + offset]), int(self.passage.ends[end + offset])

    def places(self, start: int, end: int) -> tuple[int, int] | None:
        """Where in the window's source the passage's tokens from start to end are; None where not all are in it."""
        if not self.first <= start <= end < self.last:
            return None
        return start - self.first + self.shift, end - self.first + self.shift


def cut(size: int, room: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Cuts a passage of so many tokens into windows that overlap: the first token and the one behind the last.

    Args:
        size: N; nothing gives one window of nothing.
        room: the most tokens of a window.
        overlap: how many of them the next one has too.

    Raises:
        ConfigError: a window has no more room than is repeated.
    """
    if overlap >= room:
        raise ConfigError(
            f"data.max_source_length leaves {room} tokens for a window of the context, but data.overlap repeats "
            f"{overlap} of them: make the one longer or the other smaller"
        )
    first = 0
    while first + room < size:
        yield first, first + room
        first += room - overlap
    yield first, size

"""Which word was heard as which: the alignments that word error rates are counted on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from core.errors import DataError
from core.metrics.base import Scored

Pair = tuple[str | None, str | None]
"""A reference's unit (word or character) beside the hypothesis's; None where one of them has none."""


@dataclass(frozen=True)
class ErrorCounts:
    """What went wrong in one utterance, or in many.

    Attributes:
        length: of the references, in words (or characters).
        substitutions: units that were heard as another.
        deletions: units that weren't heard.
        insertions: units that nobody said.
    """

    length: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def errors(self) -> int:
        """All three kinds."""
        return self.substitutions + self.deletions + self.insertions

    def rate(self, errors: int) -> float:
        """Errors in percent of the references' length; one without any words counts as one word, as in jiwer."""
        return 100 * errors / max(self.length, 1)

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.length + other.length,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )


@dataclass(frozen=True)
class Alignment:
    """The cheapest way from one utterance's reference to its hypothesis.

    Attributes:
        id: the utterance's number in its corpus.
        pairs: in order; (word, word) equal or substituted, (word, None) deleted, (None, word) inserted.
    """

    id: int
    pairs: tuple[Pair, ...]

    @cached_property
    def counts(self) -> ErrorCounts:
        """The errors of this utterance."""
        marks = [mark(pair) for pair in self.pairs]
        insertions = marks.count("I")
        return ErrorCounts(len(marks) - insertions, marks.count("S"), marks.count("D"), insertions)


def mark(pair: Pair) -> str:
    """S for a substitution, D for a deletion, I for an insertion, nothing for what is right."""
    reference, hypothesis = pair
    if reference is None:
        return "I"
    if hypothesis is None:
        return "D"
    return "" if reference == hypothesis else "S"


def align_words(examples: Sequence[Scored], normalise: Callable[[str], str]) -> list[Alignment]:
    """Aligns words, by jiwer, with the least number of errors; of several references the first counts.

    Args:
        examples: in any order; an empty reference or hypothesis is one of no words.
        normalise: what both texts go through first.

    Raises:
        DataError: an example has no reference.
    """
    from jiwer import process_words

    return _align(process_words, examples, normalise)


def align_characters(examples: Sequence[Scored], normalise: Callable[[str], str]) -> list[Alignment]:
    """Aligns characters, the spaces between words included; otherwise as `align_words`."""
    from jiwer import process_characters

    return _align(process_characters, examples, normalise)


def total(alignments: Iterable[Alignment]) -> ErrorCounts:
    """The errors of all utterances."""
    return sum((alignment.counts for alignment in alignments), ErrorCounts())


def _align(process: Any, examples: Sequence[Scored], normalise: Callable[[str], str]) -> list[Alignment]:
    for example in examples:
        if not example.references:
            raise DataError(f"example {example.id} has no reference to be scored against")
    references = [normalise(example.references[0]) for example in examples]
    output = process(references, [normalise(example.hypothesis) for example in examples])
    aligned = zip(examples, output.references, output.hypotheses, output.alignments, strict=True)
    return [
        Alignment(example.id, tuple(_pairs(reference, hypothesis, chunks)))
        for example, reference, hypothesis, chunks in aligned
    ]


def _pairs(reference: list[str], hypothesis: list[str], chunks: Sequence[Any]) -> Iterator[Pair]:
    """One pair for each unit of jiwer's chunks, which are runs of one kind."""
    for chunk in chunks:
        said = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        heard = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "delete":
            yield from ((word, None) for word in said)
        elif chunk.type == "insert":
            yield from ((None, word) for word in heard)
        else:
            yield from zip(said, heard, strict=True)

"""One transcript out of those of overlapping segments: what was recognised twice is written once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tasks.asr.segments import Segment
from tasks.asr.words import Word

SAME_SECONDS = 0.3  # how far the times of one word may differ between two segments
WORDS_PER_SECOND = 6  # hardly anybody speaks faster
MATCHED, SKIPPED = 2, -1  # a word that both have outweighs one that only one has, but not several

Overlap = tuple[int, tuple[tuple[int, int], ...]]
"""The score of an overlap, and the positions of its equal words in either text."""


def merge_words(segments: Sequence[Segment], words: Sequence[Sequence[Word]], sample_rate: int) -> list[Word]:
    """Joins the words of segments by their times.

    Where two segments overlap, they are joined at a word that both have at about the same time, the nearest to the
    middle of the overlap: each segment then tells what lies farther from its edge, where it hears best. If they have
    no word in common, each tells its half of the overlap, and of two words at the same time the likelier stays.

    Args:
        segments: in order, as `segments` cuts them.
        words: of each segment, with times that count from the segment's start.
        sample_rate: of the segments' samples, in Hz.

    Returns:
        the recording's words, with times that count from its start.

    Raises:
        ValueError: there are more segments than transcripts, or fewer.
    """
    timed = [
        [word.shifted(segment.start / sample_rate) for word in of_segment]
        for segment, of_segment in zip(segments, words, strict=True)
    ]
    merged = timed[0] if timed else []
    for (left, right), following in zip(pairwise(segments), timed[1:], strict=True):
        if right.start < left.end:
            merged = _join(merged, following, right.start / sample_rate, left.end / sample_rate)
        else:
            merged = merged + following
    return merged


def merge_texts(segments: Sequence[Segment], texts: Sequence[str], sample_rate: int) -> str:
    """Joins the transcripts of segments without times: by the words that the one ends and the next begins with.

    Args:
        segments: in order, as `segments` cuts them.
        texts: of each segment.
        sample_rate: of the segments' samples, in Hz.

    Raises:
        ValueError: there are more segments than transcripts, or fewer.
    """
    split = [text.split() for text in texts]
    merged = split[0] if split else []
    for (left, right), following in zip(pairwise(segments), split[1:], strict=True):
        most = max(round((left.end - right.start) / sample_rate * WORDS_PER_SECOND), 0)
        merged = join_texts(merged, following, most)
    return " ".join(merged)


def join_texts(left: Sequence[str], right: Sequence[str], most: int) -> list[str]:
    """Joins two transcripts whose edges were recognised from the same sound.

    The longest common subsequence of a suffix of the one and a prefix of the other tells how much that is; words of
    the two that don't match count against it, so that a chance "the" isn't taken for an overlap. Without one the two
    are put side by side.

    Args:
        left: words of the first.
        right: words of the second.
        most: how many words at an edge may have been recognised twice.
    """
    edge = max(len(left) - most, 0)
    pairs = _overlap(left[edge:], right[:most])
    if not pairs:
        return [*left, *right]
    mine, other = pairs[len(pairs) // 2]
    return [*left[: edge + mine + 1], *right[other + 1 :]]


def _overlap(tail: Sequence[str], head: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """The positions of equal words in the best overlap of a tail's end with a head's beginning; none if none pays.

    After each word of the tail, row[j] is the best overlap that ends there and before word j of the head. It may
    begin anywhere in the tail, but only at the head's first word.
    """
    row: list[Overlap] = [(SKIPPED * j, ()) for j in range(len(head) + 1)]
    for i, word in enumerate(tail):
        above, row = row, [(0, ())]
        for j, other in enumerate(head):
            best, pairs = max(above[j + 1], row[j], key=_score)
            best += SKIPPED
            if _same(word, other) and above[j][0] + MATCHED > best:
                best, pairs = above[j][0] + MATCHED, (*above[j][1], (i, j))
            row.append((best, pairs))
    return max(row, key=_score)[1]


def _score(overlap: Overlap) -> int:
    return overlap[0]


def _join(left: list[Word], right: list[Word], start: float, end: float) -> list[Word]:
    """Joins the words of two segments that share the time from start to end."""
    middle = (start + end) / 2
    shared = _shared([word for word in left if word.end > start], [word for word in right if word.start < end])
    if shared:
        mine, other = min(shared, key=lambda pair: abs(pair[0].middle + pair[1].middle - 2 * middle))
        return [*left[: left.index(mine) + 1], *right[right.index(other) + 1 :]]
    before = [word for word in left if word.middle < middle]
    after = [word for word in right if word.middle >= middle]
    if before and after and _together(before[-1], after[0]):  # each side thinks that it is in its half
        return [*before[:-1], _likelier(before[-1], after[0]), *after[1:]]
    dropped = left[len(before) : len(before) + 1], right[: len(right) - len(after)][-1:]
    if all(dropped) and _together(dropped[0][0], dropped[1][0]):  # each side thinks that it is in the other's
        return [*before, _likelier(dropped[0][0], dropped[1][0]), *after]
    return [*before, *after]


def _shared(left: Sequence[Word], right: Sequence[Word]) -> list[tuple[Word, Word]]:
    """Equal words at about the same time, each other's nearest: "five five" are two words."""
    pairs = []
    for word in left:
        other = _nearest(word, right)
        if other is not None and _nearest(other, left) == word:
            pairs.append((word, other))
    return pairs


def _nearest(word: Word, others: Sequence[Word]) -> Word | None:
    """The equal word that is the nearest in time, if one is near enough."""
    near = [
        other for other in others if _same(word.text, other.text) and abs(word.middle - other.middle) <= SAME_SECONDS
    ]
    return min(near, key=lambda other: abs(word.middle - other.middle), default=None)


def _same(one: str, other: str) -> bool:
    """Whether two words are equal but for case and punctuation, which a cut changes."""
    return _letters(one) == _letters(other)


def _letters(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum()) or word


def _together(one: Word, other: Word) -> bool:
    """Whether two words are of the same sound: they share more than half of the shorter one's time."""
    common = min(one.end, other.end) - max(one.start, other.start)
    return common > min(one.end - one.start, other.end - other.start) / 2


def _likelier(one: Word, other: Word) -> Word:
    return one if one.score >= other.score else other

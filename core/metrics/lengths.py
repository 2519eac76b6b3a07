"""BLEU by the length of the source: where a model without attention falls off (Bahdanau et al. 2014, figure 2)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from core.errors import ConfigError
from core.metrics.base import Scored
from core.metrics.translation import BLEU, BLEUTokenizer

DEFAULT_EDGES = (5, 10, 15, 20, 25, 30)


@dataclass(frozen=True)
class LengthBucket:
    """The score of the sources of one range of lengths.

    Attributes:
        low: the fewest words, inclusive.
        high: the most words, inclusive; None for no limit.
        examples: how many sources that is, at least one.
        mean_length: of these sources, in words.
        bleu: corpus BLEU of their translations.
    """

    low: int
    high: int | None
    examples: int
    mean_length: float
    bleu: float

    @property
    def label(self) -> str:
        """The range for people: "6-10", or "31+" where it is open."""
        return f"{self.low}+" if self.high is None else f"{self.low}-{self.high}"


def bleu_by_length(
    examples: Sequence[Scored], edges: Sequence[int] = DEFAULT_EDGES, tokenize: BLEUTokenizer = "13a"
) -> list[LengthBucket]:
    """Scores the examples of each range of source lengths as a corpus of its own; empty ranges are left out.

    Args:
        examples: with sources; the length is the number of words between white space.
        edges: the largest length of each range but the last, which is open.
        tokenize: see `BLEU`.

    Raises:
        ConfigError: the edges don't grow, or the first is below 0.
    """
    if not edges or edges[0] < 0 or any(low >= high for low, high in pairwise(edges)):
        raise ConfigError(f"edges must be at least 0 and grow, got {list(edges)}")
    buckets: list[list[Scored]] = [[] for _ in range(len(edges) + 1)]
    for example in examples:
        buckets[bisect_left(edges, _words(example))].append(example)
    lows, highs = [0, *(edge + 1 for edge in edges)], [*edges, None]
    metric = BLEU(tokenize)
    return [
        LengthBucket(low, high, len(bucket), fmean(map(_words, bucket)), metric.score(bucket)[metric.name].value)
        for low, high, bucket in zip(lows, highs, buckets, strict=True)
        if bucket
    ]


def _words(example: Scored) -> int:
    return len(example.source.split())

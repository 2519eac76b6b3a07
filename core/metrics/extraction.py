"""How much of a summary is the source's own text, and how much shorter it is: ROUGE doesn't tell."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from math import nan
from statistics import fmean

from core.metrics.base import CorpusMetric, Score, Scored
from core.metrics.rouge import split_sentences

Words = tuple[str, ...]


class Extraction(CorpusMetric):
    """What summaries take from their sources; words are runs of letters and digits, lower-cased.

    Gives `novel_1` to `novel_4`, the n-grams that the source doesn't have in percent of the corpus's, and `copied`,
    the percentage of the summaries' sentences that stand in the source word for word (See et al. 2017, figure 6);
    `density`, the mean length of the copied run that a word is part of, and `compression`, the source's words for
    each of the summary's (Grusky et al. 2018, section 3.2), both as means over summaries.

    Examples without a source, and summaries without a word, are left out; where nothing is left, all is NaN. Give the
    references as hypotheses for the numbers to compare with.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """Four shares of n-grams, one of sentences, and two means."""
        return ("novel_1", "novel_2", "novel_3", "novel_4", "copied", "density", "compression")

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Compares each summary with its source."""
        pairs = [(example.hypothesis, words_of(example.source)) for example in examples]
        pairs = [(text, source) for text, source in pairs if source and words_of(text)]
        summaries = [(words_of(text), source) for text, source in pairs]
        values = [_novel(summaries, n) for n in range(1, 5)]
        values += [_copied(pairs)]
        values += [_mean([_density(summary, source) for summary, source in summaries])]
        values += [_mean([len(source) / len(summary) for summary, source in summaries])]
        signature = f"extraction|words:letters and digits, lower-cased|{len(pairs)} of {len(examples)} summaries"
        return {name: Score(value, signature) for name, value in zip(self.names, values, strict=True)}


def words_of(text: str) -> Words:
    """Runs of letters and digits, lower-cased."""
    return tuple(re.findall(r"[^\W_]+", text.lower()))


def longest_runs(summary: Words, source: Words) -> list[int]:
    """The lengths of the runs that a summary shares with its source, each as long as can be, from left to right.

    The fragments of Grusky et al. 2018, figure 3.
    """
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, word in enumerate(source):
        places[word].append(place)
    runs, start = [], 0
    while start < len(summary):
        longest = max((_run(summary, start, source, place) for place in places.get(summary[start], ())), default=0)
        if longest:
            runs.append(longest)
        start += max(longest, 1)
    return runs


def _run(summary: Words, start: int, source: Words, place: int) -> int:
    length = 0
    while start + length < len(summary) and place + length < len(source):
        if summary[start + length] != source[place + length]:
            break
        length += 1
    return length


def _novel(summaries: Sequence[tuple[Words, Words]], n: int) -> float:
    new = []
    for summary, source in summaries:
        known = set(_ngrams(source, n))
        new += [gram not in known for gram in _ngrams(summary, n)]
    return 100 * _mean(new)


def _copied(pairs: Sequence[tuple[str, Words]]) -> float:
    copies = []
    for text, source in pairs:
        sentences = [words for words in map(words_of, split_sentences(text)) if words]
        copies += [words in _ngrams(source, len(words)) for words in sentences]
    return 100 * _mean(copies)


def _density(summary: Words, source: Words) -> float:
    return sum(length**2 for length in longest_runs(summary, source)) / len(summary)


def _ngrams(words: Words, n: int) -> list[Words]:
    return [words[start : start + n] for start in range(len(words) - n + 1)]


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else nan

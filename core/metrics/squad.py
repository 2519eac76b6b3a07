"""Exact match and F1 of answers, by the rules of SQuAD's official scripts (Rajpurkar et al. 2016 and 2018)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf, nan
from statistics import fmean
from typing import Literal

from core.errors import ConfigError, DataError
from core.metrics.base import CorpusMetric, Score, Scored

Version = Literal["1.1", "2.0"]
ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
WITHOUT_SIGNS = str.maketrans("", "", string.punctuation)


def normalise_answer(text: str) -> str:
    """Lower case, without ASCII punctuation, without articles, single spaces; in that order."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(WITHOUT_SIGNS)).split())


def exact_match(hypothesis: str, reference: str) -> float:
    """1 where both are normalised to the same, else 0."""
    return float(normalise_answer(hypothesis) == normalise_answer(reference))


def f1(hypothesis: str, reference: str, version: Version = "1.1") -> float:
    """The harmonic mean of precision and recall over the normalised words, each as often as it occurs.

    Where nothing is left of one of the two, 1.1 gives 0, and 2.0 gives 1 if nothing is left of both.
    """
    said, wanted = normalise_answer(hypothesis).split(), normalise_answer(reference).split()
    if version == "2.0" and not (said and wanted):
        return float(said == wanted)
    common = (Counter(said) & Counter(wanted)).total()
    return 2 * common / (len(said) + len(wanted)) if common else 0.0


def scores_of(hypothesis: str, references: Sequence[str], version: Version) -> tuple[float, float]:
    """Exact match and F1 against the best reference for each; in 2.0 references of nothing but articles don't count."""
    wanted = list(references)
    if version == "2.0":
        wanted = [reference for reference in wanted if normalise_answer(reference)] or [""]
    return max(exact_match(hypothesis, each) for each in wanted), max(f1(hypothesis, each, version) for each in wanted)


class SquadMetric(CorpusMetric):
    """Exact match and F1, from 0 to 100, means over the questions.

    A question without an answer has the empty text for its only reference, and wants the empty text.

    Args:
        version: of the official script: "2.0" adds both numbers for the questions that have an answer (`HasAns_exact`,
            `HasAns_f1`) and for those that have none (`NoAns_exact`, `NoAns_f1`); NaN where there are none of them.

    Raises:
        ConfigError: an unknown version.
    """

    def __init__(self, version: Version = "1.1") -> None:
        super().__init__()
        if version not in ("1.1", "2.0"):
            raise ConfigError(f"metrics.version must be 1.1 or 2.0, got {version!r}")
        self.version: Version = version

    @property
    def names(self) -> tuple[str, ...]:
        """The official scripts' names."""
        parts = ("HasAns_exact", "HasAns_f1", "NoAns_exact", "NoAns_f1") if self.version == "2.0" else ()
        return ("exact", "f1", *parts)

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """The mean over the questions.

        Raises:
            DataError: a question has no reference.
        """
        rows = [self._row(example) for example in examples]
        signature = f"SQuAD {self.version} official rules, polyseq's own code"
        groups = {"": rows}
        if self.version == "2.0":
            groups |= {"HasAns_": [row for row in rows if row[2]], "NoAns_": [row for row in rows if not row[2]]}
        scores: dict[str, Score] = {}
        for name, some in groups.items():
            told = f"{signature}|questions:{len(some)}" if some else "no such questions"
            for column, kind in enumerate(("exact", "f1")):
                value = 100 * fmean(row[column] for row in some) if some else nan
                scores[name + kind] = Score(value, told)
        return scores

    def _row(self, example: Scored) -> tuple[float, float, bool]:
        if not example.references:
            raise DataError(f"question {example.id} has no reference; one without an answer has the empty text")
        return *scores_of(example.hypothesis, example.references, self.version), any(example.references)


@dataclass(frozen=True)
class Doubted:
    """A question's best answer, and how much speaks against answering at all.

    Attributes:
        margin: what no answer scores beyond the best answer.
        score: what the best answer is worth: its exact match or F1.
        has_answer: the question has an answer.
    """

    margin: float
    score: float
    has_answer: bool


def best_threshold(questions: Sequence[Doubted]) -> tuple[float, float]:
    """The threshold above whose margin nothing is answered, so that the mean score is the highest.

    Where two are equally good the lower one is taken. This is the official 2.0 script's `find_best_thresh`, but that
    questions with the same margin go together: no threshold tells them apart.

    Returns:
        the threshold, between two questions' margins; and the mean score with it, from 0 to 100.
    """
    if not questions:
        return 0.0, nan
    total = float(sum(not question.has_answer for question in questions))  # nothing is answered
    ordered = sorted(questions, key=lambda question: question.margin)
    groups = [(margin, list(some)) for margin, some in groupby(ordered, key=lambda question: question.margin)]
    best, chosen = total, _between(-inf, groups[0][0])
    for index, (margin, some) in enumerate(groups):
        total += sum(question.score if question.has_answer else -1.0 for question in some)
        if total > best:
            following = groups[index + 1][0] if index + 1 < len(groups) else inf
            best, chosen = total, _between(margin, following)
    return chosen, 100 * best / len(questions)


def _between(low: float, high: float) -> float:
    """A number between two, not too near to either."""
    if low == -inf:
        return high - 1.0 if high > -inf else low
    return low + 1.0 if high == inf else (low + high) / 2

"""Accuracy by kind of question: the mean of all can hide a kind that fails."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import nan
from statistics import fmean

from core.metrics.base import CorpusMetric, Score, Scored


class AccuracyByTask(CorpusMetric):
    """The percentage of answers that are right letter for letter, but for case, for each kind, and the mean over kinds.

    Case doesn't count, since a model whose tokenizer knows none can't write a name as its reference does.

    The mean over bAbI's tasks is what papers report (Weston et al. 2015, table 3): each task counts the same.

    Args:
        titles: each question's kind, by id.
    """

    def __init__(self, titles: Sequence[str]) -> None:
        super().__init__()
        self.titles = tuple(titles)
        self.kinds = sorted(set(titles), key=_by_number)

    @property
    def names(self) -> tuple[str, ...]:
        """`accuracy qa1` and so on, then `accuracy`, the mean, and `failed`, the kinds with less than 95 %."""
        return (*(f"accuracy {kind}" for kind in self.kinds), "accuracy", "failed")

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Scores each kind by itself; NaN where there are no questions of it, which the mean leaves out."""
        right: dict[str, list[bool]] = {kind: [] for kind in self.kinds}
        for example in examples:
            answers = {reference.casefold() for reference in example.references}
            right[self.titles[example.id]].append(example.hypothesis.strip().casefold() in answers)
        scores = {
            f"accuracy {kind}": Score(100 * fmean(some), f"exact text but for case|questions:{len(some)}")
            if some
            else Score(nan, "no questions")
            for kind, some in right.items()
        }
        values = [100 * fmean(some) for some in right.values() if some]
        scores["accuracy"] = Score(fmean(values), f"exact text but for case|mean over {len(values)} kinds")
        failed = sum(value < 95 for value in values)
        scores["failed"] = Score(failed, f"kinds below 95 %, of {len(values)}")
        return scores


def _by_number(title: str) -> list[tuple[int, str]]:
    """Puts qa2 before qa10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", title)]

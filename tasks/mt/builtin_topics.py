"""Exact match on the built-in corpus by what a sentence is about: a share of all can hide a topic that fails."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

from core.metrics.base import CorpusMetric, Score, Scored
from core.metrics.translation import ExactMatch


class ExactMatchByTopic(CorpusMetric):
    """The percentage of translations that are right for each topic, `exact_match half past` and so on.

    Args:
        topics: each example's topic, by id (`BuiltInCorpus.topics`).
    """

    def __init__(self, topics: Sequence[str]) -> None:
        super().__init__()
        self.topics = tuple(topics)

    @property
    def names(self) -> tuple[str, ...]:
        """One number a topic, in alphabetical order."""
        return tuple(f"exact_match {topic}" for topic in sorted(set(self.topics)))

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Scores each topic by itself; NaN where there are no examples."""
        by_topic: dict[str, list[Scored]] = {topic: [] for topic in sorted(set(self.topics))}
        for example in examples:
            by_topic[self.topics[example.id]].append(example)
        scores = {topic: ExactMatch().score(some)["exact_match"] for topic, some in by_topic.items() if some}
        return {
            f"exact_match {topic}": Score(scores[topic].value, f"{scores[topic].signature}|examples:{len(some)}")
            if some
            else Score(nan, "no examples")
            for topic, some in by_topic.items()
        }

"""What a summary's scores are read beside: the document's first sentences, and how long both are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from core.errors import ConfigError
from core.metrics.base import CorpusMetric, Score, Scored
from core.metrics.extraction import words_of
from core.metrics.rouge import ROUGE, SentenceBreak, lead


class LeadROUGE(CorpusMetric):
    """ROUGE of LEAD-n, the first n sentences of each document: what any model has to beat.

    Args:
        count: n.
        sentences: where rougeLsum's sentences end.

    Raises:
        ConfigError: `count` is below 1.
    """

    def __init__(self, count: int = 3, sentences: SentenceBreak = "newline") -> None:
        super().__init__()
        if count < 1:
            raise ConfigError(f"model.lead must be at least 1 sentence, got {count}")
        self.count = count
        self.rouge = ROUGE(sentences)

    @property
    def names(self) -> tuple[str, ...]:
        """rouge-score's names with the number of sentences before them, as in lead3_rouge1."""
        return tuple(f"lead{self.count}_{name}" for name in self.rouge.names)

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Scores the beginnings of the documents in place of the summaries."""
        scores = self.rouge.score(leads(examples, self.count))
        return {name: scores[name.partition("_")[2]] for name in self.names}


class SummaryLength(CorpusMetric):
    """The mean length of the summaries and of the references, in words: runs of letters and digits."""

    @property
    def names(self) -> tuple[str, ...]:
        """Two means."""
        return ("words", "reference_words")

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Counts; of several references the mean."""
        written = fmean(len(words_of(each.hypothesis)) for each in examples)
        wanted = fmean(fmean(len(words_of(text)) for text in each.references) for each in examples)
        signature = "mean words:letters and digits"
        return {"words": Score(written, signature), "reference_words": Score(wanted, signature)}


def leads(examples: Sequence[Scored], count: int) -> list[Scored]:
    """The same examples with the first sentences of the source in place of the summary."""
    return [replace(example, hypothesis=lead(example.source, count)) for example in examples]


def references(examples: Sequence[Scored]) -> list[Scored]:
    """The same examples with the first reference in place of the summary."""
    return [replace(example, hypothesis=example.references[0]) for example in examples]

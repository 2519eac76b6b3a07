"""ROUGE of summaries by the package whose numbers people compare, rouge-score; and the LEAD baseline."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import version
from statistics import fmean
from typing import Literal

import numpy as np

from core.errors import ConfigError, DataError
from core.metrics.base import CorpusMetric, Score, Scored

SentenceBreak = Literal["newline", "punctuation"]

TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
BOOTSTRAP_SEED = 12345  # sacreBLEU's, so that all of a table's intervals are drawn alike
# A full stop, with the quotes and brackets behind it, then a space and what a sentence may begin with.
BREAK = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"'”’)\]]))\s+(?=[\"'“‘(\[]*[A-Z0-9])")


class ROUGE(CorpusMetric):
    """ROUGE-1, -2, -L and -Lsum (Lin 2004) as rouge-score has them: F-scores with the Porter stemmer, from 0 to 100.

    Of several references, each type takes the one with the highest F-score, as `score_multi` does. rouge-score knows
    the letters a to z and digits alone: words of other scripts don't exist for it.

    Args:
        sentences: where rougeLsum's sentences end, in both texts: at a "newline", as in rouge-score, or also at a full
            stop before a capital or a digit ("punctuation"), for texts whose sentences stand in one line.
        n_bootstrap: draws of as many summaries as the corpus has, for a 95 % confidence interval; 0 for none. It adds
            the mean of the draws as `<name>_mean` and half the interval's width as `<name>_ci`.

    Raises:
        ConfigError: `n_bootstrap` is 1 or negative: no interval comes from one draw.
    """

    def __init__(self, sentences: SentenceBreak = "newline", n_bootstrap: int = 0) -> None:
        super().__init__()
        if n_bootstrap < 0 or n_bootstrap == 1:
            raise ConfigError(f"metrics.n_bootstrap must be 0 (none) or at least 2, 1000 is usual; got {n_bootstrap}")
        self.sentences: SentenceBreak = sentences
        self.n_bootstrap = n_bootstrap

    @property
    def names(self) -> tuple[str, ...]:
        """rouge-score's own names and, with an interval, those of each mean and half-width."""
        ends = ("", "_mean", "_ci") if self.n_bootstrap else ("",)
        return tuple(name + end for name in TYPES for end in ends)

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """The mean of the summaries' F-scores.

        Raises:
            DataError: an example has no reference.
        """
        each = self.each(examples)
        drawn = f"|bootstrap:{self.n_bootstrap}|seed:{BOOTSTRAP_SEED}" if self.n_bootstrap else ""
        package = f"rouge_score {version('rouge_score')}"
        scores: dict[str, Score] = {}
        for number, name in enumerate(TYPES):
            signature = f"{package} {name} F|stemmer:yes|sentences:{self.sentences}|references:highest F{drawn}"
            values = [fmean(row[number] for row in each)]
            if self.n_bootstrap:
                values += _interval([row[number] for row in each], self.n_bootstrap)
            own = [key for key in self.names if key.partition("_")[0] == name]
            scores |= {key: Score(value, signature) for key, value in zip(own, values, strict=True)}
        return scores

    def each(self, examples: Sequence[Scored]) -> list[list[float]]:
        """The four F-scores of each summary, from 0 to 100."""
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(list(TYPES), use_stemmer=True)
        rows = []
        for example in examples:
            if not example.references:
                raise DataError(f"example {example.id} has no reference summary to be scored against")
            targets = [self.prepare(text) for text in example.references]
            found = scorer.score_multi(targets, self.prepare(example.hypothesis))
            rows.append([100 * float(found[name].fmeasure) for name in TYPES])
        return rows

    def prepare(self, text: str) -> str:
        """Puts each sentence into a line of its own, if it isn't there."""
        return text if self.sentences == "newline" else "\n".join(split_sentences(text))


def split_sentences(text: str) -> list[str]:
    """The sentences of a text: its lines, cut behind a full stop that a capital or a digit follows.

    A rule without a list of abbreviations, so that it cuts behind "Mr." too.
    """
    lines = (line.strip() for line in text.splitlines())
    return [sentence for line in lines if line for sentence in BREAK.sub("\n", line).split("\n")]


def lead(source: str, count: int = 3) -> str:
    """The first lines of a source, or the first sentences of one that is a single line: the baseline LEAD-n.

    Args:
        source: the raw text; a dialogue has a turn in each line.
        count: n; 3 is usual for news.

    Returns:
        a line for each.

    Raises:
        ConfigError: `count` is below 1.
    """
    if count < 1:
        raise ConfigError(f"LEAD takes at least 1 sentence, got {count}")
    lines = [line.strip() for line in source.splitlines() if line.strip()]
    return "\n".join((lines if len(lines) > 1 else split_sentences(source))[:count])


def _interval(values: Sequence[float], draws: int) -> list[float]:
    """The mean of resampled corpora's means, and half the width of their middle 95 %."""
    rng, scores = np.random.default_rng(BOOTSTRAP_SEED), np.asarray(values)
    means = [scores[rng.integers(0, len(scores), len(scores))].mean() for _ in range(draws)]
    low, high = np.percentile(means, [2.5, 97.5])
    return [float(np.mean(means)), float(high - low) / 2]

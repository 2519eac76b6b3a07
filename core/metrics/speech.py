"""Scores of recognised speech, counted by the package whose numbers people compare: jiwer."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np

from core.errors import ConfigError
from core.metrics.alignment import Alignment, align_characters, align_words, total
from core.metrics.base import CorpusMetric, Score, Scored
from core.metrics.normalisers import NormaliserName, make_normaliser

BOOTSTRAP_SEED = 12345  # sacreBLEU's, so that all of a table's intervals are drawn alike


class WordErrorRate(CorpusMetric):
    """The word error rate: all substitutions, deletions and insertions in percent of all reference words.

    Gives `wer`, its parts `wer_sub`, `wer_del` and `wer_ins`, which add up to it, and `ser`, the percentage of
    utterances with at least one error. The lower the better; `wer` may pass 100. jiwer (rapidfuzz) takes the
    alignment with the least number of errors: sclite weighs them and may give other parts of nearly the same sum.

    An empty reference is one of no words, and all that was recognised are insertions; an empty hypothesis leaves all
    words deleted. A corpus without any reference word counts as one of one word, as in jiwer. Of several references
    the first counts.

    Args:
        normaliser: what both texts go through before they are compared (see `make_normaliser`); part of the signature.
        n_bootstrap: draws of as many utterances as the corpus has, for a 95 % confidence interval (Bisani & Ney
            2004); 0 for none. It adds the mean of the draws as `wer_mean` and half the interval's width as `wer_ci`.
            Utterances count as independent; those of one speaker aren't quite, and the true interval is wider.

    Raises:
        ConfigError: there is no normaliser of that name; `n_bootstrap` is 1 or negative.
    """

    def __init__(self, normaliser: NormaliserName = "none", n_bootstrap: int = 0) -> None:
        super().__init__()
        if n_bootstrap < 0 or n_bootstrap == 1:
            raise ConfigError(f"metrics.n_bootstrap must be 0 (none) or at least 2, 1000 is usual; got {n_bootstrap}")
        self.signature = jiwer_signature(normaliser)
        self.normaliser: NormaliserName = normaliser
        self.n_bootstrap = n_bootstrap

    @property
    def names(self) -> tuple[str, ...]:
        """The rate, its three parts, the sentence error rate and, with an interval, its mean and half-width."""
        names = ("wer", "wer_sub", "wer_del", "wer_ins", "ser")
        return (*names, "wer_mean", "wer_ci") if self.n_bootstrap else names

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Counts the errors of the whole corpus.

        Raises:
            DataError: an example has no reference.
        """
        alignments = align_words(examples, make_normaliser(self.normaliser).apply)
        counts = total(alignments)
        wrong = sum(alignment.counts.errors > 0 for alignment in alignments)
        parts = (counts.errors, counts.substitutions, counts.deletions, counts.insertions)
        values = [*map(counts.rate, parts), 100 * wrong / len(alignments)]
        signature = self.signature
        if self.n_bootstrap:
            values += bootstrap(alignments, self.n_bootstrap)
            signature += f"|bootstrap:{self.n_bootstrap}|seed:{BOOTSTRAP_SEED}"
        return {name: Score(value, signature) for name, value in zip(self.names, values, strict=True)}


class CharacterErrorRate(CorpusMetric):
    """The character error rate, `cer`: as the word error rate, on characters, the spaces between words included.

    Args:
        normaliser: see `WordErrorRate`.

    Raises:
        ConfigError: there is no normaliser of that name.
    """

    def __init__(self, normaliser: NormaliserName = "none") -> None:
        super().__init__()
        self.signature = jiwer_signature(normaliser)
        self.normaliser: NormaliserName = normaliser

    @property
    def names(self) -> tuple[str, ...]:
        """One number."""
        return ("cer",)

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Counts the errors of the whole corpus.

        Raises:
            DataError: an example has no reference.
        """
        counts = total(align_characters(examples, make_normaliser(self.normaliser).apply))
        return {"cer": Score(counts.rate(counts.errors), self.signature)}


def jiwer_signature(name: NormaliserName) -> str:
    """The package, its version and the normaliser.

    Raises:
        ConfigError: there is no normaliser of that name.
    """
    return f"jiwer|{version('jiwer')}|normaliser:{make_normaliser(name).signature}"


def bootstrap(alignments: Sequence[Alignment], draws: int) -> tuple[float, float]:
    """The mean of the error rate over draws of utterances, and half the width of its 95 % interval; in percent."""
    counts = np.array([(each.counts.errors, each.counts.length) for each in alignments])  # (N, 2)
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    drawn = (counts[generator.integers(len(counts), size=len(counts))].sum(0) for _ in range(draws))
    rates = np.array([100 * errors / max(length, 1) for errors, length in drawn])
    low, high = np.percentile(rates, (2.5, 97.5))
    return float(rates.mean()), float(high - low) / 2

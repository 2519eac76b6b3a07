"""Scores of captions as coco-caption has them (Chen et al. 2015), without Java: BLEU, ROUGE-L; and diversity."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from math import exp, nan
from statistics import fmean
from typing import Literal

from core.checkpoint import package_version
from core.errors import DataError
from core.metrics import ptb
from core.metrics.base import CorpusMetric, Score, Scored

CaptionTokenizer = Literal["ptb", "none"]
Words = tuple[str, ...]


class CaptionMetric(CorpusMetric):
    """A metric on the words of captions, each with one reference or more.

    Args:
        tokenize: "ptb" for coco-caption's words (see `core.metrics.ptb`; for English), "none" for text whose words
            stand between white space already; it is compared as it is.
    """

    def __init__(self, tokenize: CaptionTokenizer = "ptb") -> None:
        super().__init__()
        self.tokenize: CaptionTokenizer = tokenize

    @property
    @abstractmethod
    def signature(self) -> str:
        """What the numbers are, with the options: the first part of each signature."""

    @abstractmethod
    def values(self, hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> Sequence[float]:
        """Scores a corpus of at least one caption: one number for each name."""

    def words(self, text: str) -> Words:
        """The words of a caption."""
        return ptb.tokenize(text) if self.tokenize == "ptb" else tuple(text.split())

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Takes all texts apart and scores the corpus.

        Raises:
            DataError: an example has no reference.
        """
        hypotheses = [self.words(example.hypothesis) for example in examples]
        references = [[self.words(text) for text in example.references] for example in examples]
        for example in examples:
            if not example.references:
                raise DataError(f"example {example.id} has no reference caption to be scored against")
        signature = f"{self.signature}|polyseq {package_version()}|tokeniser: {self.tokenize}"
        values = self.values(hypotheses, references)
        return {name: Score(float(value), signature) for name, value in zip(self.names, values, strict=True)}


class CocoBLEU(CaptionMetric):
    """BLEU-1 to BLEU-4 (Papineni et al. 2002) as coco-caption's BleuScorer, `bleu_1` to `bleu_4`, from 0 to 100.

    Counts of the whole corpus, the closest reference length, and 1e-15 added to each numerator, 1e-9 to each
    denominator. Captioning papers give these; sacreBLEU's `bleu` keeps punctuation and case.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """One for each longest n-gram."""
        return tuple(f"bleu_{n}" for n in range(1, 5))

    @property
    def signature(self) -> str:
        """The scorer that is followed, and its reference length."""
        return "coco-caption BLEU reimplemented|closest reference"

    def values(self, hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> Sequence[float]:
        """The geometric means of the first one to four precisions, times the brevity penalty."""
        right, guessed, length, wanted = [0] * 4, [0] * 4, 0, 0
        for hypothesis, targets in zip(hypotheses, references, strict=True):
            length += len(hypothesis)
            wanted += min((abs(len(target) - len(hypothesis)), len(target)) for target in targets)[1]
            for n in range(1, 5):
                right[n - 1] += _clipped_matches(hypothesis, targets, n)
                guessed[n - 1] += max(0, len(hypothesis) - n + 1)
        ratio = (length + 1e-15) / (wanted + 1e-9)
        penalty = exp(1 - 1 / ratio) if ratio < 1 else 1.0
        product, scores = 1.0, []
        for n in range(4):
            product *= (right[n] + 1e-15) / (guessed[n] + 1e-9)
            scores.append(100 * penalty * product ** (1 / (n + 1)))
        return scores


class CocoROUGE(CaptionMetric):
    """ROUGE-L as coco-caption's Rouge, `rouge_l`, from 0 to 100: another number than rouge-score's `rougeL`.

    The mean over captions of the F-score with beta 1.2 of the highest precision and the highest recall, each over
    the references, of the longest common subsequence.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """One number."""
        return ("rouge_l",)

    @property
    def signature(self) -> str:
        """The scorer that is followed, and its beta."""
        return "coco-caption ROUGE-L reimplemented|beta:1.2"

    def values(self, hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> Sequence[float]:
        """The mean of the captions' F-scores."""
        return [100 * fmean(map(_rouge_l, hypotheses, references))]


class Diversity(CaptionMetric):
    """How varied the captions are, which the other scores don't see; words as in those.

    Gives `distinct_1` and `distinct_2`, the different n-grams in percent of all (Li et al. 2016, section 5.3, over
    the corpus: it falls as a corpus grows, so compare on the same one); `novel`, the percentage of captions that
    aren't a training caption, word for word; `vocabulary`, the number of different words; `mean_length` in words.

    Args:
        training_captions: all of the training split's, as text.
        tokenize: see `CaptionMetric`.
    """

    def __init__(self, training_captions: Iterable[str], tokenize: CaptionTokenizer = "ptb") -> None:
        super().__init__(tokenize)
        self.known = frozenset(self.words(text) for text in training_captions)

    @property
    def names(self) -> tuple[str, ...]:
        """Two ratios of n-grams, the share of new captions, the vocabulary and the length."""
        return ("distinct_1", "distinct_2", "novel", "vocabulary", "mean_length")

    @property
    def signature(self) -> str:
        """Against how many captions novelty is measured."""
        return f"diversity|{len(self.known)} different training captions"

    def values(self, hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> Sequence[float]:
        """Counts n-grams, captions and words; a share of nothing is NaN."""
        new = sum(words not in self.known for words in hypotheses)
        vocabulary = {word for words in hypotheses for word in words}
        shares = [_distinct(hypotheses, n) for n in (1, 2)]
        return [*shares, 100 * new / len(hypotheses), len(vocabulary), fmean(map(len, hypotheses))]


def ngrams(words: Words, n: int) -> list[Words]:
    """The n-grams of a caption in their order."""
    return [words[start : start + n] for start in range(len(words) - n + 1)]


def _clipped_matches(hypothesis: Words, targets: Sequence[Words], n: int) -> int:
    most: Counter[Words] = Counter()
    for target in targets:
        most |= Counter(ngrams(target, n))
    return (Counter(ngrams(hypothesis, n)) & most).total()


def _rouge_l(hypothesis: Words, targets: Sequence[Words], beta: float = 1.2) -> float:
    # coco-caption splits at spaces, so that an empty caption has one word, the empty one.
    words = hypothesis or ("",)
    common = [(_common_length(words, target or ("",)), len(target or ("",))) for target in targets]
    precision = max(length for length, _ in common) / len(words)
    recall = max(length / size for length, size in common)
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision) if precision else 0.0


def _common_length(first: Words, second: Words) -> int:
    """The length of the longest common subsequence, row by row."""
    above = [0] * (len(second) + 1)
    for word in first:
        row = [0]
        for place, other in enumerate(second):
            row.append(above[place] + 1 if word == other else max(row[place], above[place + 1]))
        above = row
    return above[-1]


def _distinct(captions: Sequence[Words], n: int) -> float:
    found = [gram for words in captions for gram in ngrams(words, n)]
    return 100 * len(set(found)) / len(found) if found else nan

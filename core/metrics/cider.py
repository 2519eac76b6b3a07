"""CIDEr-D (Vedantam et al. 2015, section 6), of a corpus as coco-caption has it and of one caption as a reward."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import exp, log, sqrt
from statistics import fmean

from typing_extensions import Self

from core.errors import ConfigError
from core.metrics.base import Scored
from core.metrics.captions import CaptionMetric, Words

LONGEST = 4  # n-grams of one to four words
Tokens = Sequence[Hashable]  # words, or the ids of tokens
NGram = tuple[Hashable, ...]


@dataclass(frozen=True)
class CiderReferences:
    """The references of one image, weighed once for many candidates.

    Attributes:
        postings: for each n-gram the references that have it: number, weight, weight over the norm of its order.
        lengths: of the references, in bigrams: what coco-caption compares.
    """

    postings: Mapping[NGram, Sequence[tuple[int, float, float]]]
    lengths: tuple[int, ...]


class SentenceCider:
    """CIDEr-D of single captions, given how many images' references have each n-gram: 0 to 10, as in coco-caption.

    The reward of self-critical training (Rennie et al. 2017, section 5), where the frequencies are those of the
    training references, and the end token is a word like others: without it, captions learn to end in "with a".

    Args:
        frequencies: for each n-gram the number of images of which at least one reference has it.
        count: how many images that is; with one image all weights, and so all scores, are 0.
        end: the end token, which each reference gets, and each candidate that ended; None to leave it out.
        sigma: of the penalty for another length, in words.

    Raises:
        ConfigError: there is no image, or fewer than have some n-gram; `sigma` isn't above 0.
    """

    def __init__(
        self, frequencies: Mapping[NGram, int], count: int, end: Hashable | None = None, sigma: float = 6.0
    ) -> None:
        highest = max(frequencies.values(), default=1)
        if count < highest:
            raise ConfigError(f"count must be at least the highest document frequency, {highest}, got {count}")
        if sigma <= 0:
            raise ConfigError(f"sigma is a number of words above 0, got {sigma}")
        self.end = end
        self.sigma = sigma
        self._new = log(count)
        self._idf = {gram: self._new - log(frequency) for gram, frequency in frequencies.items() if frequency > 1}

    @classmethod
    def of(cls, references: Iterable[Sequence[Tokens]], end: Hashable | None = None) -> Self:
        """Counts the document frequencies in the references of each image of a corpus.

        Raises:
            ConfigError: the corpus is empty.
        """
        frequencies, count = document_frequencies(references, end)
        return cls(frequencies, count, end)

    def weigh(self, tokens: Tokens) -> tuple[dict[NGram, float], list[float]]:
        """The tf-idf weight of each n-gram of a caption, and the norm of those of one, two, three and four tokens."""
        weights = {gram: times * self._idf.get(gram, self._new) for gram, times in count_ngrams(tokens).items()}
        squares = [0.0] * LONGEST
        for gram, weight in weights.items():
            squares[len(gram) - 1] += weight * weight
        return weights, [sqrt(square) for square in squares]

    def prepare(self, references: Sequence[Tokens]) -> CiderReferences:
        """Weighs the references of one image; keep the result for as many candidates as there are."""
        postings: dict[NGram, list[tuple[int, float, float]]] = {}
        for number, tokens in enumerate(references):
            weights, norms = self.weigh(closed(tokens, self.end))
            for gram, weight in weights.items():
                if weight:
                    postings.setdefault(gram, []).append((number, weight, weight / norms[len(gram) - 1]))
        return CiderReferences(postings, tuple(_bigrams(closed(tokens, self.end)) for tokens in references))

    def score(self, candidate: Tokens, references: CiderReferences, ended: bool = True) -> float:
        """Scores one candidate against the references of its image.

        Args:
            candidate: its tokens, without the end token.
            references: as prepared.
            ended: whether the candidate wrote the end token; False where its length's limit cut it off.
        """
        tokens = closed(candidate, self.end) if ended else candidate
        weights, norms = self.weigh(tokens)
        likeness = [0.0] * len(references.lengths)
        for gram, weight in weights.items():
            for number, wanted, share in references.postings.get(gram, ()) if weight else ():
                likeness[number] += min(weight, wanted) * share / norms[len(gram) - 1]
        length = _bigrams(tokens)
        penalised = (
            value * exp(-((length - other) ** 2) / (2 * self.sigma**2))
            for value, other in zip(likeness, references.lengths, strict=True)
        )
        return 10 * fmean(penalised) / LONGEST


class CiderD(CaptionMetric):
    """CIDEr-D as coco-caption's CiderScorer, `cider_d`, in percent: the "CIDEr" of captioning papers.

    Document frequencies come from the references of the corpus that is scored, so that it is a number of the corpus:
    the mean of batches' scores would be another. n = 1 to 4, sigma 6, times 10; with one example it is 0.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """One number."""
        return ("cider_d",)

    @property
    def signature(self) -> str:
        """The scorer that is followed, with its options."""
        return "coco-caption CIDEr-D reimplemented|n:4|sigma:6|document frequencies: the references scored"

    def values(self, hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> Sequence[float]:
        """The mean of the captions' scores."""
        return [fmean(_scores(hypotheses, references))]

    def sentences(self, examples: Sequence[Scored]) -> list[float]:
        """The score of each caption in percent, of which the corpus's is the mean; each needs a reference."""
        hypotheses = [self.words(example.hypothesis) for example in examples]
        return _scores(hypotheses, [[self.words(text) for text in example.references] for example in examples])


def document_frequencies(
    references: Iterable[Sequence[Tokens]], end: Hashable | None = None
) -> tuple[Counter[NGram], int]:
    """Counts, for each n-gram, the images of which at least one reference has it; and the images."""
    frequencies: Counter[NGram] = Counter()
    count = 0
    for texts in references:
        count += 1
        frequencies.update(set(chain.from_iterable(count_ngrams(closed(tokens, end)) for tokens in texts)))
    return frequencies, count


def count_ngrams(tokens: Tokens) -> Counter[NGram]:
    """How often each n-gram of one to four tokens occurs."""
    shifted = [tokens[start:] for start in range(LONGEST)]
    return Counter(chain.from_iterable(zip(*shifted[:n], strict=False) for n in range(1, LONGEST + 1)))


def closed(tokens: Tokens, end: Hashable | None) -> Tokens:
    """The tokens with the end token behind them, where there is one."""
    return tokens if end is None else (*tokens, end)


def _bigrams(tokens: Tokens) -> int:
    return max(0, len(tokens) - 1)


def _scores(hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> list[float]:
    """Percent, for each caption."""
    cider = SentenceCider.of(references)
    pairs = zip(hypotheses, references, strict=True)
    return [100 * cider.score(words, cider.prepare(targets)) for words, targets in pairs]

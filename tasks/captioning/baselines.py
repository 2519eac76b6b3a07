"""What a caption scores that never saw the image, and what people score: the rows beside every table."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from math import exp, nan
from statistics import fmean

from core.errors import DataError
from core.metrics import ptb
from core.metrics.base import CorpusMetric, MetricGroup, Scored
from core.metrics.captions import CocoBLEU, CocoROUGE, Words
from core.metrics.cider import CiderD, NGram, SentenceCider

Captions = Sequence[tuple[str, ...]]  # the captions of each image


def caption_baselines(
    training: Captions, references: Captions, seed: int, metric: CorpusMetric | None = None
) -> dict[str, dict[str, float]]:
    """Scores three ways of captioning without a model.

    "constant" is one training caption for all images (`constant_caption`); "random" is a training caption drawn for
    each image. "human" is a reference against the others of its image, averaged over which one it is: with five
    references one against four, as in published human scores, while a model is scored against all five, which
    gives it a little more. Images with a single reference are left out of it; it is NaN where all have one.

    Args:
        training: the captions of each training image.
        references: those of each image that is scored.
        seed: of the random captions.
        metric: what scores; BLEU-1 to BLEU-4, ROUGE-L and CIDEr-D as in coco-caption if None.

    Returns:
        for each baseline its numbers by their names.

    Raises:
        DataError: there are no training captions or no references.
    """
    texts = [text for captions in training for text in captions]
    if not texts or not any(references):
        raise DataError("baselines need at least one training caption and one reference")
    metric = metric or MetricGroup.of(CocoBLEU(), CocoROUGE(), CiderD())
    draw = random.Random(seed)
    constant = constant_caption(training)
    return {
        "constant": _score(metric, [constant] * len(references), references),
        "random": _score(metric, [draw.choice(texts) for _ in references], references),
        "human": _human(metric, references),
    }


def constant_caption(training: Captions) -> str:
    """The training caption with the highest expected CIDEr-D against the captions of a training image.

    Expected without clipping, and as the product of two means: of the cosine with a training caption, and of the
    penalty for another length. So it takes time for each caption and not for each pair. Of equals the first.
    """
    texts = [text for captions in training for text in captions]
    words = [ptb.tokenize(text) for text in texts]
    cider = SentenceCider.of([[ptb.tokenize(text) for text in captions] for captions in training])
    centroid: defaultdict[NGram, float] = defaultdict(float)
    for caption in words:
        for gram, weight in _unit_weights(cider, caption).items():
            centroid[gram] += weight
    lengths = Counter(map(len, words))

    def expected(caption: Words) -> float:
        cosine = sum(weight * centroid[gram] for gram, weight in _unit_weights(cider, caption).items())
        differences = ((len(caption) - length, times) for length, times in lengths.items())
        return cosine * sum(times * exp(-(off**2) / (2 * cider.sigma**2)) for off, times in differences)

    return texts[max(range(len(texts)), key=lambda number: expected(words[number]))]


def _unit_weights(cider: SentenceCider, caption: Words) -> dict[NGram, float]:
    """The weights of a caption's n-grams, of norm 1 for each order."""
    weights, norms = cider.weigh(caption)
    return {gram: weight / norms[len(gram) - 1] for gram, weight in weights.items() if weight}


def _human(metric: CorpusMetric, references: Captions) -> dict[str, float]:
    rounds = []
    for place in range(max(map(len, references))):
        images = [captions for captions in references if len(captions) > max(place, 1)]
        if images:
            others = [captions[:place] + captions[place + 1 :] for captions in images]
            rounds.append(_score(metric, [captions[place] for captions in images], others))
    return {name: fmean(one[name] for one in rounds) if rounds else nan for name in metric.names}


def _score(metric: CorpusMetric, hypotheses: Sequence[str], references: Captions) -> dict[str, float]:
    pairs = zip(hypotheses, references, strict=True)
    scores = metric.score([Scored(number, text, targets) for number, (text, targets) in enumerate(pairs)])
    return {name: score.value for name, score in scores.items()}

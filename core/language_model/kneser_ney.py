"""Estimates n-gram models: interpolated modified Kneser-Ney smoothing (Chen and Goodman 1999, section 3)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import log10

from core.errors import ConfigError, DataError
from core.language_model.ngrams import BEGIN, Context, Gram, NgramModel

Discounts = tuple[float, float, float]

FALLBACK: Discounts = (0.5, 1.0, 1.5)  # KenLM's, for counts that are too few to estimate them from
MOST = 12  # as an order: longer n-grams are whole sentences


def estimate(texts: Iterable[Sequence[int]], order: int, types: Sequence[int], eos: int) -> NgramModel:
    """Estimates a model whose probabilities sum to 1 over the types after every history.

    Args:
        texts: token ids, without begin and end token.
        order: the longest n-gram's length; where no text has one that long, the longest there is.
        types: all ids that can be written, the end token among them: each gets a probability above zero.
        eos: the end token.

    Raises:
        ConfigError: the order is out of its range.
        DataError: there is no text.
    """
    if not 1 <= order <= MOST:
        raise ConfigError(f"order must be at least 1 and at most {MOST}, got {order}")
    counts = adjusted_counts(texts, order, eos)
    contexts: dict[Gram, Context] = defaultdict(Context)
    shorter: dict[Gram, float] = dict.fromkeys(((token,) for token in types), 1 / len(types))
    for size, grams in enumerate(counts, start=1):
        probabilities, shares = interpolate(
            grams, discounts(grams.values()), shorter if size > 1 else {(): 1 / len(types)}
        )
        if size == 1:
            rest = {gram: shares[()] / len(types) for gram in shorter if gram not in probabilities}
            probabilities |= rest
            shares = {}  # what the uniform distribution gets is in the unigrams already
        for gram, probability in probabilities.items():
            contexts[gram[:-1]].following[gram[-1]] = log10(probability)
        for history, share in shares.items():
            contexts[history].backoff = log10(share)
        shorter = probabilities
    return NgramModel(len(counts), dict(contexts))


def adjusted_counts(texts: Iterable[Sequence[int]], order: int, eos: int) -> list[Counter[Gram]]:
    """Counts n-grams by length, from 1: the longest as they occur, the shorter ones by the tokens that stand before.

    Before what begins a text nothing can stand: these keep their number of occurrences, as in KenLM.
    """
    occurrences: list[Counter[Gram]] = [Counter() for _ in range(order)]
    for text in texts:
        written = (BEGIN, *text, eos)
        for size, grams in enumerate(occurrences, start=1):
            grams.update(zip(*(written[start:] for start in range(size)), strict=False))
    found = [grams for grams in occurrences if grams]
    if not found:
        raise DataError("a language model needs text to learn from, and there is none")
    adjusted = []
    for grams, longer in pairwise(found):
        before = Counter(gram[1:] for gram in longer)
        adjusted.append(Counter({gram: grams[gram] if gram[0] == BEGIN else before[gram] for gram in grams}))
    adjusted.append(found[-1])
    del adjusted[0][(BEGIN,)]  # nobody writes it
    return adjusted


def discounts(counts: Iterable[int]) -> Discounts:
    """What is taken off counts of one, of two and of three or more (Chen and Goodman 1999, section 3).

    Where the counts of counts tell none, or one that is out of its range, FALLBACK.
    """
    of_counts = Counter(counts)
    one, two, three, four = (of_counts[count] for count in range(1, 5))
    if not (one and two and three):
        return FALLBACK
    share = one / (one + 2 * two)
    found = (1 - 2 * share * two / one, 2 - 3 * share * three / two, 3 - 4 * share * four / three)
    return found if all(discount > 0 for discount in found) else FALLBACK


def interpolate(
    grams: Counter[Gram], off: Discounts, shorter: dict[Gram, float]
) -> tuple[dict[Gram, float], dict[Gram, float]]:
    """One order's probabilities, and each history's share for the next shorter one (the same section).

    Args:
        grams: their counts.
        off: what is taken off them.
        shorter: the probabilities of the n-grams without their first token.
    """
    totals: Counter[Gram] = Counter()
    freed: dict[Gram, float] = defaultdict(float)
    for gram, count in grams.items():
        totals[gram[:-1]] += count
        freed[gram[:-1]] += off[min(count, 3) - 1]
    shares = {history: freed[history] / total for history, total in totals.items()}
    probabilities = {
        gram: (count - off[min(count, 3) - 1]) / totals[gram[:-1]] + shares[gram[:-1]] * shorter[gram[1:]]
        for gram, count in grams.items()
    }
    return probabilities, shares

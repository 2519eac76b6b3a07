"""From scores of beginnings and ends to the best spans.

Letters: B windows, S source length, L the longest answer, n how many are wanted.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Spans:
    """The best spans of B windows.

    Attributes:
        scores: (B, n) the sum of the two places' scores, best first; -inf where there is no further span.
        starts: (B, n) int64, the first token's place in the source.
        ends: (B, n) int64, the last one's.
        total: (B,) the logarithm of the sum of exp(score) over all spans; -inf where there is none.
        null: (B,) the score of no answer: that of the begin token as both.
    """

    scores: Tensor
    starts: Tensor
    ends: Tensor
    total: Tensor
    null: Tensor


def best_spans(start: Tensor, end: Tensor, longest: int, count: int) -> Spans:
    """Finds the best spans of at most so many tokens, exactly.

    Args:
        start: (B, S) scores of places as the answer's first token; -inf where none can be. Place 0 stands for none.
        end: (B, S) and as its last one.
        longest: L, in tokens.
        count: n.
    """
    size = start.size(1)
    first, last = (scores.clone().float() for scores in (start, end))
    null = first[:, 0] + last[:, 0]
    first[:, 0], last[:, 0] = -inf, -inf
    longest = min(longest, size)
    ahead = F.pad(last, (0, longest - 1), value=-inf).unfold(1, longest, 1)  # (B, S, L): the ends from each place on
    scores = (first.unsqueeze(2) + ahead).flatten(1)  # (B, S * L)
    best, places = scores.topk(min(count, scores.size(1)), dim=1)
    starts = places // longest
    return Spans(best, starts, starts + places % longest, scores.logsumexp(1), null)

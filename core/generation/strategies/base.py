"""Strategies choose tokens by their scores, and know no model.

Letters: B sources that are still being written, K rows a source, N = B * K rows, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from core.generation.options import Hypothesis


@dataclass(frozen=True)
class Scores:
    """What each next token of N rows adds.

    Attributes:
        totals: (N, V) float32, what tokens are ranked by, before `normaliser` is taken off; -inf for banned tokens.
        normaliser: (N, 1), to be taken off both.
        logits: (N, V), the model's own share where other scorers added to the totals; None where they are the same.
    """

    totals: Tensor
    normaliser: Tensor
    logits: Tensor | None = None


@dataclass(frozen=True)
class Move:
    """How the search goes on.

    Attributes:
        tokens: (N',) int64, what the next step reads.
        rows: (N',) int64, the row that each of them continues; None for all rows as they are.
        sources: (B',) int64, the positions of the sources that are kept; None keeps all of them.
    """

    tokens: Tensor
    rows: Tensor | None
    sources: Tensor | None


class Strategy(ABC):
    """Chooses tokens step by step, for B sources at once, and keeps what is finished. Made for one search.

    Attributes:
        width: rows a source in the first step.
    """

    width: int = 1

    @abstractmethod
    def advance(self, scores: Scores) -> Move | None:
        """Chooses the next tokens of all rows; None when every source is finished."""

    @abstractmethod
    def hypotheses(self) -> list[list[Hypothesis]]:
        """Returns what was written, for each source best first: once `advance` has returned None."""


def worth_dropping(kept: int, total: int) -> bool:
    """Whether sources should leave the batch: an eighth of it, so that copying what the state knows of them pays."""
    return 8 * kept <= 7 * total

"""Greedy search."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import override

from core.generation.strategies.base import Scores
from core.generation.strategies.rowwise import RowStrategy
from core.generation.tensors import best_tokens


class GreedySearch(RowStrategy):
    """Takes the best token in each step: a beam of one, without its bookkeeping."""

    @override
    def pick(self, scores: Scores) -> Tensor:
        # Two, of which the first is taken, as a beam of one does: so equal scores are told apart in the same way.
        return best_tokens(scores.totals, min(2, scores.totals.size(1)))[1][:, 0]

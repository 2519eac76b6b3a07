"""Sampling from the model's distribution, or from its head.

Letters: N rows, M candidates a row, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from typing_extensions import override

from core.generation.options import GenerationOptions
from core.generation.randomness import seeds_of, uniform
from core.generation.strategies.base import Move, Scores
from core.generation.strategies.rowwise import RowStrategy
from core.generation.tensors import best_tokens


class Sampling(RowStrategy):
    """Draws each token: temperature, then the k best (Fan et al. 2018), then the nucleus (Holtzman et al. 2020).

    A draw is a pure function of the seed, the source's key, the number of the sample and the step: neither the batch
    nor the device nor another sample changes it.
    """

    def __init__(
        self, options: GenerationOptions, limits: list[int], eos: int, device: torch.device, keys: Sequence[int]
    ) -> None:
        """Begins: as any strategy, and a key (64 bits) for each source."""
        super().__init__(options, limits, eos, device)
        self._options = options
        self._seeds = seeds_of(options.seed, keys, self.width).to(device)

    @override
    def advance(self, scores: Scores) -> Move | None:
        move = super().advance(scores)
        if move is not None and move.rows is not None:
            self._seeds = self._seeds[move.rows]
        return move

    @override
    def pick(self, scores: Scores) -> Tensor:
        values, ids = self._candidates(scores.totals / self._options.temperature)
        mass = values.softmax(1).cumsum(1)  # (N, M)
        last = torch.full_like(mass[:, :1], mass.size(1) - 1, dtype=torch.int64)
        if self._options.top_p < 1:  # up to the candidate that makes the mass full
            last = (mass < self._options.top_p).sum(1, keepdim=True).clamp_(max=mass.size(1) - 1)
        draws = uniform(self._seeds, len(self._trace)).unsqueeze(1) * mass.gather(1, last)
        # right=True: the first candidate whose mass is above the draw, so never one without probability
        chosen = torch.searchsorted(mass, draws, right=True).minimum(last)
        return (chosen if ids is None else ids.gather(1, chosen)).squeeze(1)

    def _candidates(self, scores: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores (N, M) and ids of the tokens to draw from, best first where that matters; ids None for all of V."""
        if 0 < self._options.top_k < scores.size(1):
            return best_tokens(scores, self._options.top_k)
        if self._options.top_p < 1:
            return torch.sort(scores, dim=1, descending=True, stable=True)
        return scores, None

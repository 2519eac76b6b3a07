"""What greedy search and sampling share: each row goes its own way.

Letters: B sources that are still being written, K rows a source, N = B * K rows, V vocabulary.
"""

from __future__ import annotations

from abc import abstractmethod
from math import inf

import torch
from torch import Tensor
from typing_extensions import override

from core.generation.lengths import LengthNormaliser
from core.generation.options import GenerationOptions, Hypothesis
from core.generation.strategies.base import Move, Scores, Strategy, worth_dropping
from core.generation.strategies.trace import Ending, Trace


class RowStrategy(Strategy):
    """Picks one token a row. A row ends with its end token, at its source's limit, or where nothing may be picked."""

    def __init__(self, options: GenerationOptions, limits: list[int], eos: int, device: torch.device) -> None:
        """Begins: the most tokens of each source's hypotheses (without the end token), and the end token."""
        self.width = options.n_best
        self._limits, self._eos = limits, eos
        self._norm = LengthNormaliser(options)
        self._trace = Trace(len(limits))
        self._endings: list[dict[int, Ending]] = [{} for _ in limits]
        self._totals = torch.zeros(len(limits) * self.width, device=device)
        self._log_probs = self._totals

    @abstractmethod
    def pick(self, scores: Scores) -> Tensor:
        """Picks the next token of each row: (N,) int64."""

    @override
    def advance(self, scores: Scores) -> Move | None:
        tokens = self.pick(scores)
        same = scores.logits is None
        before = self._totals, self._log_probs
        self._totals = before[0] + _gain(scores.totals, tokens, scores.normaliser)
        self._log_probs = self._totals
        if scores.logits is not None:
            self._log_probs = before[1] + _gain(scores.logits, tokens, scores.normaliser)
        live = self._end(tokens, before)
        if not live:
            return None
        batch, kept, rows = tokens.size(0) // self.width, None, None
        if worth_dropping(len(live), batch):
            kept = torch.tensor(live, device=tokens.device)
            rows = (kept.unsqueeze(1) * self.width + torch.arange(self.width, device=tokens.device)).flatten()
            tokens, self._totals = tokens[rows], self._totals[rows]
            self._log_probs = self._totals if same else self._log_probs[rows]
            self._trace.drop(live)
        self._trace.record(tokens.view(-1, self.width), None)
        return Move(tokens, rows, kept)

    def _end(self, tokens: Tensor, before: tuple[Tensor, Tensor]) -> list[int]:
        """Notes the rows that end in this step; returns the positions of the sources that have open rows."""
        length, sources = len(self._trace), self._trace.sources
        finished = (tokens == self._eos) & (self._totals > -inf)
        over = finished | (self._totals == -inf)
        if length >= min(self._limits[source] for source in sources):
            limits = torch.tensor([self._limits[source] for source in sources], device=tokens.device)
            over |= (limits <= length).repeat_interleave(self.width)
        rows = over.nonzero().squeeze(1)
        ends = finished[rows]
        totals = torch.where(ends, self._totals[rows], before[0][rows])  # what isn't finished is cut before its token
        log_probs = torch.where(ends, self._log_probs[rows], before[1][rows])
        found = zip(rows.tolist(), totals.tolist(), log_probs.tolist(), ends.tolist(), strict=True)
        for index, total, log_prob, end in found:
            position, row = divmod(index, self.width)
            self._endings[sources[position]].setdefault(row, Ending(total, log_prob, length, row, end))
        return [position for position, source in enumerate(sources) if len(self._endings[source]) < self.width]

    @override
    def hypotheses(self) -> list[list[Hypothesis]]:
        return [
            self._trace.hypotheses(source, list(endings.values()), self.width, self._norm)
            for source, endings in enumerate(self._endings)
        ]


def _gain(scores: Tensor, tokens: Tensor, normaliser: Tensor) -> Tensor:
    """What the tokens (N,) add to their rows; -inf where that isn't a number."""
    gains = scores.gather(1, tokens.unsqueeze(1)) - normaliser
    return gains.squeeze(1).nan_to_num_(nan=-inf, posinf=-inf, neginf=-inf)

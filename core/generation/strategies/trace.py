"""Hypotheses as they grow: tokens and back pointers, read back only for those that are returned.

Letters: B sources, K rows a source.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from core.generation.lengths import LengthNormaliser
from core.generation.options import Hypothesis


@dataclass(frozen=True)
class Ending:
    """A hypothesis that has ended: what ranks it, and where its last token stands in the trace."""

    total: float
    log_prob: float
    length: int
    row: int
    finished: bool


class Trace:
    """What was chosen in each step. Sources may leave; they are known by their number in the batch at the start."""

    def __init__(self, batch: int) -> None:
        self.sources = list(range(batch))
        self._positions = {source: source for source in self.sources}
        self._steps: list[tuple[dict[int, int], Tensor, Tensor | None]] = []
        self._lists: list[tuple[dict[int, int], list[list[int]], list[list[int]] | None]] = []

    def __len__(self) -> int:
        return len(self._steps)

    def drop(self, kept: list[int]) -> None:
        """Goes on with the sources at those positions."""
        self.sources = [self.sources[position] for position in kept]
        self._positions = {source: position for position, source in enumerate(self.sources)}

    def record(self, tokens: Tensor, parents: Tensor | None) -> None:
        """Notes a step: tokens (B, K), and the row of its source (B, K) that each continues; None for its own."""
        self._steps.append((self._positions, tokens, parents))

    def read(self, source: int, length: int, row: int) -> tuple[int, ...]:
        """The tokens of the hypothesis whose last one, the length-th, stands in that row of its source."""
        if len(self._lists) < len(self._steps):
            self._lists = [(at, t.tolist(), None if p is None else p.tolist()) for at, t, p in self._steps]
        tokens = []
        for positions, ids, parents in reversed(self._lists[:length]):
            position = positions[source]
            tokens.append(ids[position][row])
            row = row if parents is None else parents[position][row]
        return tuple(reversed(tokens))

    def hypotheses(self, source: int, endings: list[Ending], count: int, norm: LengthNormaliser) -> list[Hypothesis]:
        """The best of a source's endings: finished ones first, then by score, then by time."""

        def score(ending: Ending) -> float:
            return norm.score(ending.total, ending.length + ending.finished)

        best = sorted(endings, key=lambda ending: (not ending.finished, -score(ending)))[:count]
        return [Hypothesis(self.read(source, e.length, e.row), score(e), e.log_prob, e.finished) for e in best]

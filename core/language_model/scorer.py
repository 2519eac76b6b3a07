"""An n-gram model's opinion of the next token.

Letters: B sources, N rows, M candidates a row, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from core.batch import Source
from core.encoders.base import Memory
from core.errors import ConfigError
from core.generation.scorers import Scorer, ScorerState, refuse_own_words
from core.language_model.ngrams import BEGIN, NEVER, Gram, NgramModel

Row = np.ndarray[tuple[int], np.dtype[np.float64]]

CACHED = 1 << 24  # numbers that are kept, 64 MB


@dataclass(frozen=True)
class NgramState(ScorerState):
    """What the N rows end with: of each all that its next token depends on; None before the begin token was read."""

    histories: tuple[Gram | None, ...]

    @override
    def reorder(self, rows: Tensor, sources: Tensor | None = None) -> NgramState:
        return NgramState(tuple(self.histories[row] for row in rows.tolist()))


class NgramScorer(Scorer):
    """Adds weight * log p(token | what was written) under an n-gram model (shallow fusion, Gülçehre et al. 2015).

    All V scores that follow a history are calculated when it comes for the first time, and kept: hypotheses of a beam,
    and sources of a corpus, share most of their histories.

    Args:
        model: of the target's tokens.
        weight: above 0, what its log-probabilities (natural logarithm) are multiplied by.
        vocab_size: the target's number of types V.

    Raises:
        ConfigError: the weight is out of its range.
    """

    bounded = True

    def __init__(self, model: NgramModel, weight: float, vocab_size: int) -> None:
        if not 0 < weight < float("inf"):
            raise ConfigError(f"the weight of a language model must be above 0, got {weight}")
        self._model, self._scale, self._size = model, weight * log(10), vocab_size
        self._unigrams = np.full(vocab_size, NEVER)
        self._put(self._unigrams, ())
        self._rows: dict[Gram, Tensor] = {}

    @override
    def start(self, source: Source, memory: Memory) -> NgramState:
        refuse_own_words(memory)
        return NgramState((None,) * len(source))

    @override
    def step(self, tokens: Tensor, state: ScorerState, candidates: Tensor | None = None) -> tuple[Tensor, ScorerState]:
        assert isinstance(state, NgramState)
        pairs = zip(state.histories, tokens.tolist(), strict=True)
        histories = [(BEGIN,) if history is None else (*history, token) for history, token in pairs]
        known = tuple(self._model.known(history) for history in histories)
        if len(self._rows) * self._size > CACHED:
            self._rows.clear()
        scores = torch.stack([self._row(history, tokens.device) for history in known])
        return scores if candidates is None else scores.gather(1, candidates), NgramState(known)

    def _row(self, history: Gram, device: torch.device) -> Tensor:
        """The scores of all tokens after a history that has a context: (V,) float32."""
        row = self._rows.get(history)
        if row is None or row.device != device:
            # A model that was rounded to a few digits can come to more than a certainty, on which early stopping rests.
            scores = np.minimum(self._log10(history), 0) * self._scale
            row = self._rows[history] = torch.from_numpy(scores.astype(np.float32)).to(device)
        return row

    def _log10(self, history: Gram) -> Row:
        row: Row = self._unigrams.copy()
        for start in range(len(history) - 1, -1, -1):
            if (end := history[start:]) in self._model.contexts:
                row += self._model.contexts[end].backoff
                self._put(row, end)
        return row

    def _put(self, row: Row, history: Gram) -> None:
        following = self._model.contexts[history].following
        row[list(following)] = list(following.values())

"""The loop of generation: score, choose, go on with the chosen rows. It knows no strategy.

Letters: B sources that are still being written, K rows a source, N = B * K rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import torch
from torch import Tensor

from core.batch import Source
from core.encoders.base import Memory
from core.generation.processors import Processor, Written
from core.generation.scorers import ModelScorer, Scorer, ScorerState
from core.generation.strategies.base import Move, Scores, Strategy
from core.generation.tensors import best_tokens, log_normaliser


def search(
    judges: Judges, strategy: Strategy, processors: Sequence[Processor], source: Source, memory: Memory, bos: int
) -> None:
    """Runs a strategy until it has finished every source; the strategy has the hypotheses then.

    Args:
        judges: what scores the tokens.
        strategy: made for these sources.
        processors: the rules, in the order in which they apply.
        source: B sources.
        memory: what the first model made of them.
        bos: the begin token.
    """
    batch, device = len(source), memory.states.device
    judges.start(source, memory)
    if strategy.width > 1:
        judges.reorder(torch.arange(batch, device=device).repeat_interleave(strategy.width), None)
    tokens = torch.full((batch * strategy.width,), bos, dtype=torch.int64, device=device)
    written = Written(0, tokens.new_empty(len(tokens), 0), torch.arange(batch, device=device))
    remember = any(processor.needs_tokens for processor in processors)
    while (move := strategy.advance(judges.score(tokens, written, processors))) is not None:
        if move.rows is not None:
            judges.reorder(move.rows, move.sources)
        tokens, written = move.tokens, _extend(written, move, remember)


def _extend(written: Written, move: Move, remember: bool) -> Written:
    sources = written.sources if move.sources is None else written.sources[move.sources]
    tokens = written.tokens
    if remember:
        tokens = tokens if move.rows is None else tokens[move.rows]
        tokens = torch.cat([tokens, move.tokens.unsqueeze(1)], dim=1)
    return Written(written.length + 1, tokens, sources)


class Judges:
    """The model and the added scorers, with their states.

    Attributes:
        bounded: no token's score is above zero.
    """

    def __init__(self, model: ModelScorer, scorers: Sequence[Scorer], preselect: int, eos: int) -> None:
        """Sets up: `preselect` tokens a row, and the end token, are judged by the scorers; 0 for all tokens."""
        self._model, self._scorers, self._preselect, self._eos = model, tuple(scorers), preselect, eos
        self.bounded = all(scorer.bounded for scorer in self._scorers)

    def start(self, source: Source, memory: Memory) -> None:
        """Begins with one row a source."""
        self._state: ScorerState = self._model.begin(source, memory)
        self._states = [scorer.start(source, memory) for scorer in self._scorers]

    def reorder(self, rows: Tensor, sources: Tensor | None) -> None:
        """Goes on with other rows, as of `DecoderState.reorder`."""
        self._state = self._state.reorder(rows, sources)
        self._states = [state.reorder(rows, sources) for state in self._states]

    def score(self, tokens: Tensor, written: Written, processors: Sequence[Processor]) -> Scores:
        """Reads one token a row (N,), and scores the next."""
        logits, self._state = self._model.logits(tokens, self._state)
        normaliser = log_normaliser(logits)  # before anything is banned: log-probabilities stay the model's own
        for processor in processors:
            processor.apply(logits, written)
        weighed = self._weigh(logits, normaliser)
        if not self._scorers:
            return Scores(weighed, normaliser, None if weighed is logits else logits)
        if not self._preselect or self._preselect >= logits.size(1):
            totals = weighed
            for addition in self._add(tokens, None):
                totals = totals + addition
            return Scores(totals, normaliser, logits)
        candidates = best_tokens(logits, self._preselect)[1]
        candidates = torch.cat([candidates, candidates.new_full((candidates.size(0), 1), self._eos)], dim=1)
        chosen = weighed.gather(1, candidates)
        for addition in self._add(tokens, candidates):
            chosen = chosen + addition
        return Scores(torch.full_like(logits, -inf).scatter_(1, candidates, chosen), normaliser, logits)

    def _weigh(self, logits: Tensor, normaliser: Tensor) -> Tensor:
        """Multiplies the log-probabilities (logits - normaliser) by the model's weight; what is banned stays so."""
        weight = self._model.weight
        if weight == 1:
            return logits
        return torch.where(logits > -inf, normaliser + weight * (logits - normaliser), -inf)

    def _add(self, tokens: Tensor, candidates: Tensor | None) -> list[Tensor]:
        steps = [
            scorer.step(tokens, state, candidates) for scorer, state in zip(self._scorers, self._states, strict=True)
        ]
        self._states = [state for _, state in steps]
        return [scores for scores, _ in steps]

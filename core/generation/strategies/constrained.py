"""Beam search for hypotheses that contain given phrases.

Letters: B sources, K rows a source, M candidates a row, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf

import torch
from torch import Tensor

from core.generation.constraints import Phrase
from core.generation.options import GenerationOptions
from core.generation.strategies.base import Move, Scores
from core.generation.strategies.beam import BeamSearch, Choice
from core.generation.strategies.trace import Ending
from core.generation.tensors import best_tokens


@dataclass(frozen=True)
class Progress:
    """How far a hypothesis is with the phrases that it has to contain.

    Attributes:
        phrases: all of them.
        tokens: what is written.
        met: the numbers of the phrases that it contains.
        begun: of each phrase that isn't met, the most of its first tokens that the hypothesis ends with.
    """

    phrases: tuple[Phrase, ...]
    tokens: Phrase = ()
    met: frozenset[int] = frozenset()
    begun: dict[int, int] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Everything is met."""
        return len(self.met) == len(self.phrases)

    @property
    def bank(self) -> int:
        """How many tokens of the phrases are in place: hypotheses compete with those that have as many."""
        return sum(len(self.phrases[number]) for number in self.met) + max(self.begun.values(), default=0)

    def next_tokens(self) -> set[int]:
        """The tokens that begin an unmet phrase, or go on with it."""
        unmet = (number for number in range(len(self.phrases)) if number not in self.met)
        return {self.phrases[n][place] for n in unmet for place in {0, self.begun.get(n, 0)}}

    def after(self, token: int) -> Progress:
        """The progress with one token more."""
        tokens, met, begun = (*self.tokens, token), set(self.met), {}
        for number, phrase in enumerate(self.phrases):
            if number in self.met:
                continue
            if tokens[-len(phrase) :] == phrase:
                met.add(number)
                continue
            sizes = range(min(len(phrase) - 1, len(tokens)), 0, -1)
            begun[number] = next((size for size in sizes if tokens[-size:] == phrase[:size]), 0)
        return Progress(self.phrases, tokens, frozenset(met), begun)


@dataclass(frozen=True)
class Candidate:
    """A hypothesis with one token more."""

    total: float
    log_prob: float
    row: int
    token: int
    progress: Progress


class ConstrainedBeamSearch(BeamSearch):
    """Lexically constrained decoding with dynamic beam allocation (Post and Vilar 2018).

    The beam is divided evenly among the hypotheses that have 0, 1, ... C tokens of their phrases in place; places that
    one of these banks can't fill go to the others, the most complete first. Candidates are the best of all, the best
    of each row, and what goes on with a phrase. The end token is open only to those that have met every phrase.
    """

    def __init__(
        self,
        options: GenerationOptions,
        limits: list[int],
        eos: int,
        device: torch.device,
        required: Sequence[tuple[Phrase, ...]],
        bounded: bool = True,
    ) -> None:
        """Begins: as a beam search, and the phrases of each source."""
        super().__init__(options, limits, eos, device, bounded)
        self._progress = [[Progress(phrases)] for phrases in required]

    def _choose(self, scores: Scores) -> Choice:
        width = self._totals.size(1)
        flat = [progress for rows in self._progress for progress in rows]
        unmet = torch.tensor([not progress.done for progress in flat], device=scores.totals.device)
        scores.totals[unmet, self._eos] = -inf
        offered = self._offer(scores, flat)
        ended: list[tuple[int, Ending]] = []
        chosen: list[list[Candidate]] = []
        for position, rows in enumerate(self._progress):
            pool = self._pool(position, rows, offered[position * width : (position + 1) * width])
            ended += self._winners(position, pool)
            chosen.append(_allocate([c for c in pool if c.token != self._eos], self._options.beam_size))
        return self._pack(chosen, ended, same=scores.logits is None)

    def _pool(
        self, position: int, rows: list[Progress], offered: list[list[tuple[int, float, float]]]
    ) -> list[Candidate]:
        """The candidates of one source."""
        sums = zip(self._totals[position].tolist(), self._log_probs[position].tolist(), strict=True)
        pool = []
        for row, (total, log_prob) in enumerate(sums):
            for token, gain, share in offered[row] if total > -inf else ():
                after = rows[row] if token == self._eos else rows[row].after(token)
                pool.append(Candidate(total + gain, log_prob + share, row, token, after))
        return pool

    def _offer(self, scores: Scores, rows: list[Progress]) -> list[list[tuple[int, float, float]]]:
        """The candidates of each row: (token, gain, log-probability)."""
        size = min(2 * self._options.beam_size, scores.totals.size(1))
        ids = best_tokens(scores.totals, size)[1].tolist()
        tokens = [sorted({*best, *row.next_tokens(), self._eos}) for best, row in zip(ids, rows, strict=True)]
        index = [row for row, each in enumerate(tokens) for _ in each], [token for each in tokens for token in each]
        gains = self._gains(scores.totals, scores.normaliser, index)
        log_probs = gains if scores.logits is None else self._gains(scores.logits, scores.normaliser, index)
        offered: list[list[tuple[int, float, float]]] = [[] for _ in rows]
        for row, token, gain, log_prob in zip(*index, gains, log_probs, strict=True):
            if gain > -inf:
                offered[row].append((token, gain, log_prob))
        return offered

    def _gains(self, scores: Tensor, normaliser: Tensor, index: tuple[list[int], list[int]]) -> list[float]:
        rows, tokens = (torch.tensor(each, device=scores.device) for each in index)
        gains = (scores[rows, tokens] - normaliser[rows, 0]).nan_to_num_(nan=-inf, posinf=-inf, neginf=-inf)
        return list((gains.clamp_(max=0) if self._bounded else gains).tolist())

    def _winners(self, position: int, pool: list[Candidate]) -> list[tuple[int, Ending]]:
        """The hypotheses that finish: those that would have a place if they kept on competing."""
        length, demanded = len(self._trace), any(candidate.progress.phrases for candidate in pool)
        if demanded and length >= self._limits[self._trace.sources[position]]:  # rather than cut what is met
            pool = [candidate for candidate in pool if candidate.token == self._eos]
        return [
            (position, Ending(c.total, c.log_prob, length, c.row, finished=True))
            for c in _allocate(pool, self._options.beam_size)
            if c.token == self._eos
        ]

    def _pack(self, chosen: list[list[Candidate]], ended: list[tuple[int, Ending]], same: bool) -> Choice:
        """Makes tensors of the open hypotheses of each source, with dead ones where a source has fewer."""
        size = max(1, *map(len, chosen))
        dead = [Candidate(-inf, -inf, 0, self._eos, rows[0]) for rows in self._progress]
        filled = [[*rows, *[none] * (size - len(rows))] for rows, none in zip(chosen, dead, strict=True)]
        self._chosen = [[candidate.progress for candidate in rows] for rows in filled]
        device = self._totals.device
        totals = torch.tensor([[c.total for c in rows] for rows in filled], device=device)
        log_probs = totals if same else torch.tensor([[c.log_prob for c in rows] for rows in filled], device=device)
        tokens = torch.tensor([[c.token for c in rows] for rows in filled], device=device)
        parents = torch.tensor([[c.row for c in rows] for rows in filled], device=device)
        return Choice(totals, log_probs, tokens, parents, ended)

    def _go_on(self, choice: Choice, live: list[int]) -> Move:
        move = super()._go_on(choice, live)
        self._progress = self._chosen if move.sources is None else [self._chosen[position] for position in live]
        return move


def _allocate(pool: list[Candidate], beam: int) -> list[Candidate]:
    """Gives the places of a beam to candidates of one source, an even share to each bank; best first."""
    if not pool:
        return []
    banks: list[list[Candidate]] = [[] for _ in range(1 + sum(map(len, pool[0].progress.phrases)))]
    for candidate in sorted(pool, key=_by_total):
        banks[candidate.progress.bank].append(candidate)
    share = beam // len(banks)
    taken = [candidate for bank in banks for candidate in bank[:share]]
    rest = [candidate for bank in reversed(banks) for candidate in bank[share:]]
    return sorted(taken + rest[: beam - len(taken)], key=_by_total)


def _by_total(candidate: Candidate) -> float:
    return -candidate.total

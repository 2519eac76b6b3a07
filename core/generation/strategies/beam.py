"""Beam search, batched, with back pointers in place of copies.

Letters: B sources that are still being written, K rows a source, N = B * K rows, M candidates a row, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor
from typing_extensions import override

from core.generation.lengths import LengthNormaliser
from core.generation.options import GenerationOptions, Hypothesis
from core.generation.strategies.base import Move, Scores, Strategy, worth_dropping
from core.generation.strategies.trace import Ending, Trace
from core.generation.tensors import fold, unfold


@dataclass(frozen=True)
class Choice:
    """What becomes of the B * K open hypotheses: at most K' open ones a source, best first, and those that end.

    Attributes:
        totals: (B, K'), the sums of the open ones' scores; -inf for a dead one.
        log_probs: (B, K'), the model's share of them; the same tensor where it is the same.
        tokens: (B, K'), their last tokens.
        parents: (B, K'), the row of its source that each continues.
        ended: (position of the source, ending), of those whose last token is the end token.
    """

    totals: Tensor
    log_probs: Tensor
    tokens: Tensor
    parents: Tensor
    ended: list[tuple[int, Ending]]


class BeamSearch(Strategy):
    """Keeps the `beam_size` best open hypotheses of each source.

    A hypothesis finishes when its end token is among the `beam_size` best candidates of its source, and doesn't take a
    place from the open ones. A source ends with its `beam_size`-th finished hypothesis if the best open one doesn't
    score above the `n_best` ("stop"), or at its length limit, or as soon as nothing that is open can become one of the
    `n_best` ("early_stopping"). What the limit cuts ranks after everything finished. There may be fewer rows than
    `beam_size`, where there are fewer candidates.
    """

    def __init__(
        self, options: GenerationOptions, limits: list[int], eos: int, device: torch.device, bounded: bool = True
    ) -> None:
        """Begins a search.

        Args:
            options: beam_size, n_best, the length penalty.
            limits: the most tokens of each source's hypotheses, without the end token.
            eos: the end token.
            device: where the scores will be.
            bounded: no token's score is ever above zero; without it there is no early stopping.
        """
        self._options, self._limits, self._eos, self._bounded = options, limits, eos, bounded
        self._norm = LengthNormaliser(options)
        self._trace = Trace(len(limits))
        self._endings: list[list[Ending]] = [[] for _ in limits]
        self._closed: set[int] = set()
        self._totals = torch.zeros(len(limits), 1, device=device)
        self._log_probs = self._totals

    @override
    def advance(self, scores: Scores) -> Move | None:
        choice = self._choose(scores)
        self._close(choice)
        live = [position for position, source in enumerate(self._trace.sources) if source not in self._closed]
        return self._go_on(choice, live) if live else None

    @override
    def hypotheses(self) -> list[list[Hypothesis]]:
        return [
            self._trace.hypotheses(source, endings, self._options.n_best, self._norm)
            for source, endings in enumerate(self._endings)
        ]

    def _choose(self, scores: Scores) -> Choice:
        """Finds the 2K best candidates of each source: K of them, at least, don't end."""
        vocab_size = scores.totals.size(1)
        totals, places = self._best(scores)
        parents, tokens = places.div(vocab_size, rounding_mode="floor"), places % vocab_size
        log_probs = totals
        if scores.logits is not None:
            log_probs = self._add(self._log_probs, scores.logits, scores.normaliser, places, clamp=False)
        return self._divide(totals, log_probs, tokens, parents)

    def _best(self, scores: Scores) -> tuple[Tensor, Tensor]:
        """The sums of each source's 2K best candidates, best first, and their places in its K * V: (B, 2K) each.

        Torch's topk walks through all candidates one by one, while maxima are vectorised: so the best are sought in
        the columns with the greatest maxima, of all rows of a source together. For 64 sources with 5 rows of 8,000 the
        calls of topk take 0.1 ms in all, and 0.8 if each row's best are sought first.
        """
        rows, vocab_size = self._totals.size(1), scores.totals.size(1)
        count = min(2 * self._options.beam_size, rows * vocab_size)
        columns = fold(scores.totals)
        if columns is None:
            return self._add(self._totals, scores.totals, scores.normaliser).topk(count, dim=1)
        width = columns.size(1)
        best = self._add(self._totals, columns, scores.normaliser).topk(min(count, rows * width), dim=1)[1]
        places = unfold(best, width, rows, vocab_size)
        totals, order = self._add(self._totals, scores.totals, scores.normaliser, places).topk(count, dim=1)
        return totals, places.gather(1, order)

    def _add(
        self, totals: Tensor, gains: Tensor, normaliser: Tensor, places: Tensor | None = None, clamp: bool = True
    ) -> Tensor:
        """Adds the gains (N, M) of next tokens to the sums (B, K): all (B, K * M), or those at places (B, M').

        What isn't a number is dead. Log-probabilities are clamped at zero, since early stopping rests on it and
        rounding could lift them above.
        """
        size = gains.size(1)
        gains, normaliser = gains.view(len(totals), -1, size), normaliser.view(len(totals), -1, 1)
        if places is not None:
            rows = places.div(size, rounding_mode="floor")
            gains, normaliser = gains.flatten(1).gather(1, places), normaliser.squeeze(2).gather(1, rows)
            totals = totals.gather(1, rows)
        else:
            totals = totals.unsqueeze(2)
        gains = (gains - normaliser).nan_to_num_(nan=-inf, posinf=-inf, neginf=-inf)
        if clamp and self._bounded:
            gains.clamp_(max=0)
        return (totals + gains).flatten(1)

    def _divide(self, totals: Tensor, log_probs: Tensor, tokens: Tensor, parents: Tensor) -> Choice:
        """Parts the candidates, (B, 2K) each and best first, into those that end and those that go on."""
        beam = self._options.beam_size
        ends = tokens == self._eos
        if tokens.size(1) >= 2 * beam and not ends[:, :beam].any():  # most steps: nothing to part
            same = log_probs is totals
            totals = totals[:, :beam]
            log_probs = totals if same else log_probs[:, :beam]
            return Choice(totals, log_probs, tokens[:, :beam], parents[:, :beam], [])
        where = (ends & (totals > -inf))[:, :beam].nonzero(as_tuple=True)
        length = len(self._trace)
        ended = [
            (position, Ending(total, log_prob, length, row, finished=True))
            for position, total, log_prob, row in zip(
                where[0].tolist(),
                totals[where].tolist(),
                log_probs[where].tolist(),
                parents[where].tolist(),
                strict=True,
            )
        ]
        order = ends.byte().argsort(dim=1, stable=True)[:, :beam]
        opened = totals.masked_fill(ends, -inf).gather(1, order)
        log_probs = opened if log_probs is totals else log_probs.gather(1, order)
        return Choice(opened, log_probs, tokens.gather(1, order), parents.gather(1, order), ended)

    def _close(self, choice: Choice) -> None:
        """Takes in what has ended, and closes the sources that need no further step."""
        sources, length = self._trace.sources, len(self._trace)
        for position, ending in choice.ended:
            if sources[position] not in self._closed:
                self._endings[sources[position]].append(ending)
        for position, best in enumerate(choice.totals[:, 0].tolist()):
            source = sources[position]
            if source in self._closed:
                continue
            cut = length >= self._limits[source] or best == -inf
            if cut and len(self._endings[source]) < self._options.n_best:
                self._cut(position)
            if cut or self._is_decided(source, best):
                self._closed.add(source)

    def _cut(self, position: int) -> None:
        """Ends the open hypotheses of a source where they stand, before this step's choice."""
        endings = self._endings[self._trace.sources[position]]
        rows = zip(self._totals[position].tolist(), self._log_probs[position].tolist(), strict=True)
        for row, (total, log_prob) in enumerate(rows):
            if total > -inf:
                endings.append(Ending(total, log_prob, len(self._trace), row, finished=False))

    def _is_decided(self, source: int, best: float) -> bool:
        """Whether a source can stop although `best` (the greatest sum of its open hypotheses) is alive."""
        endings, options = self._endings[source], self._options
        full = len(endings) >= options.beam_size
        if full and options.stop == "count":
            return True
        if len(endings) < options.n_best:
            return False
        reached = sorted((self._norm.score(e.total, e.length + 1) for e in endings), reverse=True)[options.n_best - 1]
        written = len(self._trace) + 1
        if full and reached >= self._norm.score(best, written):
            return True
        if not (options.early_stopping and self._bounded):
            return False
        return reached >= self._norm.bound(best, written + 1, self._limits[source] + 1)

    def _go_on(self, choice: Choice, live: list[int]) -> Move:
        batch, width = self._totals.shape
        self._totals, self._log_probs = choice.totals, choice.log_probs
        tokens, parents, kept = choice.tokens, choice.parents, None
        if worth_dropping(len(live), batch):
            same = self._log_probs is self._totals
            kept = torch.tensor(live, device=tokens.device)
            tokens, parents, self._totals = tokens[kept], parents[kept], self._totals[kept]
            self._log_probs = self._totals if same else self._log_probs[kept]
            self._trace.drop(live)
        self._trace.record(tokens, parents)
        return Move(tokens.flatten(), _rows(parents, kept, width), kept)


def _rows(parents: Tensor, kept: Tensor | None, width: int) -> Tensor | None:
    """Rows of the whole batch from rows of a source (B, K'); None where each row goes on as it is."""
    steps = torch.arange(parents.size(1), device=parents.device)
    if kept is None:
        if parents.size(1) == width and bool((parents == steps).all()):
            return None
        kept = torch.arange(parents.size(0), device=parents.device)
    return (parents + kept.unsqueeze(1) * width).flatten()

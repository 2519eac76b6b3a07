"""CTC's opinion of the next token, for the search of an attention decoder.

Letters: B sources, K rows a source, N = B * K rows, M candidates a row, S memory length, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from core.batch import Source
from core.ctc.model import check_weight, with_ctc
from core.encoders.base import Memory
from core.errors import ConfigError
from core.generation.scorers import Scorer, ScorerState
from core.masks import length_mask
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials

LEAST = 1e-300  # stands for the probability zero where a logarithm has to be finite
LOWEST = -1e9  # stands for its logarithm where a difference has to be a number


@dataclass(frozen=True)
class PrefixState(ScorerState):
    """The forward variables of the N prefixes written so far; all in float64, in logarithms but for `frames`.

    Attributes:
        frames: (B, V, S), the probability of each type at each frame, zero beyond the memory's length.
        lengths: (B,), in frames.
        label: (N, S + 1), of all paths over the first t frames that spell the prefix and end with its last token.
        blank: (N, S + 1), of those that end with a blank.
        prefix: (N,), of everything that begins with the prefix.
        last: (N,), its last token; the blank's id for the empty prefix.
        begun: a token has been read: the begin token, which is no part of the prefix.
    """

    frames: Tensor
    lengths: Tensor
    label: Tensor
    blank: Tensor
    prefix: Tensor
    last: Tensor
    begun: bool = False

    @override
    def reorder(self, rows: Tensor, sources: Tensor | None = None) -> PrefixState:
        frames, lengths = self.frames, self.lengths
        if sources is not None:
            frames, lengths = frames[sources], lengths[sources]
        of_rows = (self.label[rows], self.blank[rows], self.prefix[rows], self.last[rows])
        return PrefixState(frames, lengths, *of_rows, self.begun)

    def source_of_rows(self) -> Tensor:
        """The source that each row belongs to: (N,)."""
        batch = len(self.lengths)
        return torch.arange(batch, device=self.last.device).repeat_interleave(len(self.last) // max(batch, 1))


class CtcPrefixScorer(Scorer):
    """Adds weight * log p(prefix + token begins the labelling | prefix does), under CTC.

    Hori et al. 2017, algorithm 2, after Graves 2008, section 7.5.2. The end token's is the probability that nothing
    follows, so that the scores of a whole hypothesis add up to its log-probability under CTC. A token for which no
    frame is left gets -inf, and so does the blank.

    A step has no loop over frames. The forward variables of the N rows are a linear recurrence over the frames, whose
    closed form is a cumulative sum; and the probability of a prefix with one token more is a sum over the frames at
    which that token can begin, so that for all tokens it is one matrix product. That takes float64.

    Args:
        model: the one that writes; of an ensemble the first.
        weight: in (0, 1], what the logarithms are multiplied by.
        specials: the target's; the blank is the padding.

    Raises:
        ConfigError: a model without CTC head, or a weight outside its range.
    """

    bounded = True  # more tokens begin fewer labellings

    def __init__(self, model: EncoderDecoder, weight: float, specials: Specials) -> None:
        self._model = with_ctc(model, "CtcPrefixScorer")
        if not check_weight("ctc_weight", weight):
            raise ConfigError("ctc_weight is 0: a scorer that adds nothing; leave it out")
        self._weight, self._blank, self._eos = weight, specials.pad, specials.eos
        self.networks = (self._model,)

    @override
    def start(self, source: Source, memory: Memory) -> PrefixState:
        return begin(self._model.ctc_log_probs(memory), memory.lengths, self._blank)

    @override
    def step(self, tokens: Tensor, state: ScorerState, candidates: Tensor | None = None) -> tuple[Tensor, ScorerState]:
        assert isinstance(state, PrefixState)
        after = extend(state, tokens, self._blank) if state.begun else replace(state, begun=True)
        scores = self._scores(after, candidates) - after.prefix.clamp(min=LOWEST).unsqueeze(1)
        # Rounding could lift a difference above zero, on which early stopping rests.
        return self._weight * scores.clamp(max=0).float(), after

    def _scores(self, state: PrefixState, candidates: Tensor | None) -> Tensor:
        """Log-probabilities of the prefixes with one token more, (N, V) or (N, M); for the end token of no more."""
        source = state.source_of_rows()
        before = torch.logaddexp(state.label, state.blank)
        end = before.gather(1, state.lengths[source].unsqueeze(1))
        # A token that is the last one again begins after a blank only.
        repeated = weighted_sums(state.blank[:, :-1], state.frames[source, state.last].unsqueeze(1))
        if candidates is None:
            scores = _sums_of_all(before[:, :-1], state.frames)
            scores.scatter_(1, state.last.unsqueeze(1), repeated)
            scores[:, self._eos : self._eos + 1] = end
            scores[:, self._blank] = -inf
            return scores
        flat = source.unsqueeze(1) * state.frames.size(1) + candidates  # (N, M)
        chosen = state.frames.flatten(0, 1).index_select(0, flat.flatten()).view(*flat.shape, -1)  # (N, M, S)
        scores = weighted_sums(before[:, :-1], chosen)
        scores = torch.where(candidates == state.last.unsqueeze(1), repeated, scores)
        scores = torch.where(candidates == self._eos, end, scores)
        return scores.masked_fill(candidates == self._blank, -inf)


def begin(log_probs: Tensor, lengths: Tensor, blank: int) -> PrefixState:
    """The state of the empty prefix, one row a source: log-probabilities (B, S, V) and lengths in frames (B,)."""
    inside = length_mask(lengths, log_probs.size(1)).unsqueeze(1)
    frames = log_probs.transpose(1, 2).double().exp() * inside  # (B, V, S)
    blanks = F.pad(frames[:, blank].clamp(min=LEAST).log().cumsum(1), (1, 0))  # (B, S + 1)
    last = torch.full_like(lengths, blank)
    return PrefixState(frames.contiguous(), lengths, torch.full_like(blanks, -inf), blanks, blanks[:, 0], last)


def extend(state: PrefixState, tokens: Tensor, blank: int) -> PrefixState:
    """The state after one token more for each row: tokens (N,)."""
    source = state.source_of_rows()
    own = state.frames[source, tokens]  # (N, S)
    free = torch.logaddexp(state.label, state.blank)
    before = torch.where((tokens == state.last).unsqueeze(1), state.blank, free)[:, :-1]
    prefix = (before + own.log()).logsumexp(1)
    label = F.pad(_recurrence(before, own), (1, 0), value=-inf)
    blanks = F.pad(_recurrence(label[:, :-1], state.frames[source, blank]), (1, 0), value=-inf)
    return replace(state, label=label, blank=blanks, prefix=prefix, last=tokens)


def _recurrence(inflow: Tensor, stay: Tensor) -> Tensor:
    """Solves r[t] = (r[t-1] + exp(inflow[t])) * stay[t] for log r (N, S), all frames at once.

    With C the cumulative sum of log stay, log r[t] = C[t] + log sum over s <= t of exp(inflow[s] - C[s-1]). All
    terms are positive: nothing cancels, and the error is that of C, which float64 keeps at 1e-10 or less.
    """
    logs = stay.clamp(min=LEAST).log()
    total = logs.cumsum(1)
    return total + (inflow - (total - logs)).logcumsumexp(1)


def weighted_sums(log_weights: Tensor, frames: Tensor) -> Tensor:
    """Sums probabilities (N, M, S) over the frames with weights (N, S) that are logarithms: logarithms (N, M).

    What is lost lies 700 nats below a row's greatest weight.
    """
    top = log_weights.amax(1, keepdim=True).clamp(min=LOWEST)
    return torch.bmm(frames, (log_weights - top).exp().unsqueeze(2)).squeeze(2).log() + top


def _sums_of_all(log_weights: Tensor, frames: Tensor) -> Tensor:
    """The same for all types, from frames that the rows of a source share: (N, S) and (B, V, S) to (N, V)."""
    top = log_weights.amax(1, keepdim=True).clamp(min=LOWEST)
    weights = (log_weights - top).exp().view(len(frames), -1, frames.size(2))  # (B, K, S)
    return torch.bmm(weights, frames.transpose(1, 2)).flatten(0, 1).log() + top

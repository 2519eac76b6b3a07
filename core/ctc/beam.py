"""The n best labellings under CTC, each over all of its paths that a beam keeps.

Letters: B batch, S memory length, K prefixes a source, M candidates a frame, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from core.ctc.greedy import Path
from core.errors import ConfigError
from core.generation.tensors import best_tokens
from core.masks import length_mask

FACTOR = 6364136223846793005  # of the rolling hash: Knuth's, for 64 bits


@dataclass(frozen=True)
class Prefixes:
    """The prefixes that are alive after some frames, best first.

    Attributes:
        label: (B, K), the log-probability of the paths that end with the prefix's last token; -inf for a dead one.
        blank: (B, K), of those that end with a blank.
        last: (B, K), its last token; the blank's id for the empty prefix.
        key: (B, K), a hash of its tokens, by which equal prefixes are found (64 bits: they don't collide).
        parent: (B, K), the hash without its last token.
    """

    label: Tensor
    blank: Tensor
    last: Tensor
    key: Tensor
    parent: Tensor

    @property
    def total(self) -> Tensor:
        """The log-probability of all paths: (B, K)."""
        return torch.logaddexp(self.label, self.blank)


@dataclass(frozen=True)
class Frame:
    """One frame of B sources: the log-probabilities of all types (B, V), of its best types (B, M), and their ids."""

    scores: Tensor
    best: Tensor
    ids: Tensor


def ctc_beam(log_probs: Tensor, lengths: Tensor, blank: int, beam_size: int, n_best: int) -> list[list[Path]]:
    """Prefix beam search (Hannun et al. 2014, algorithm 1, without language model).

    Args:
        log_probs: (B, S, V).
        lengths: (B,), in frames.
        blank: the blank's id.
        beam_size: prefixes that are kept a source.
        n_best: labellings that are returned a source, at most.

    Returns:
        for each source tokens and their log-probability, best first; that is exact where the beam dropped no prefix of
        them, and too low otherwise.

    Raises:
        ConfigError: n_best is more than the beam's size.
    """
    if not 1 <= n_best <= beam_size:
        raise ConfigError(f"n_best must be at least 1 and at most beam_size, {beam_size}, got {n_best}")
    # Beyond a source's end the blank is certain: nothing changes there.
    blanks = log_probs.new_full((log_probs.size(2),), -inf)
    blanks[blank] = 0
    inside = length_mask(lengths, log_probs.size(1)).unsqueeze(2)
    scores = torch.where(inside, log_probs, blanks)
    # What extends a prefix into the best K is among a frame's best 2K + 1 types: before it come at most K - 1 others
    # that are chosen, K - 1 that lead to a prefix of the beam, the prefix's own last token, and the blank.
    best, ids = best_tokens(scores.flatten(0, 1), min(2 * beam_size + 1, scores.size(2)))
    shape = (*scores.shape[:2], -1)
    best = best.masked_fill(ids == blank, -inf).view(shape)
    frames = zip(scores.unbind(1), best.unbind(1), ids.view(shape).unbind(1), strict=True)
    prefixes, trace = _empty(scores[:, 0], blank), []
    for frame in frames:
        prefixes, parents, tokens = _advance(prefixes, Frame(*frame), blank, beam_size)
        trace.append((parents, tokens))
    return _read(trace, prefixes.total, n_best)


def _empty(scores: Tensor, blank: int) -> Prefixes:
    """The empty prefix of each source; its own hash is 1, and no hash is its parent's."""
    certain = scores.new_zeros(len(scores), 1)
    key = torch.ones(certain.shape, dtype=torch.int64, device=scores.device)
    return Prefixes(torch.full_like(certain, -inf), certain, torch.full_like(key, blank), key, torch.zeros_like(key))


def _advance(old: Prefixes, frame: Frame, blank: int, beam_size: int) -> tuple[Prefixes, Tensor, Tensor]:
    """Reads a frame: the best K prefixes after it, the one that each comes from, and its new token or -1 (B, K)."""
    total, last_scores = old.total, frame.scores.gather(1, old.last)
    # How a prefix extends by a token: from all of its paths, or after a blank only where the token comes again.
    again = frame.ids.unsqueeze(1) == old.last.unsqueeze(2)  # (B, K, M)
    longer = torch.where(again, old.blank.unsqueeze(2), total.unsqueeze(2)) + frame.best.unsqueeze(1)
    # Where that is a prefix of the beam, the two are one.
    alive = total > -inf
    child = (old.parent.unsqueeze(2) == old.key.unsqueeze(1)) & alive.unsqueeze(2) & alive.unsqueeze(1)  # (B, K, K)
    begins = torch.where(old.last.unsqueeze(2) == old.last.unsqueeze(1), old.blank.unsqueeze(1), total.unsqueeze(1))
    begins = begins.masked_fill(~child, -inf).amax(2) + last_scores  # a prefix has one parent
    taken = torch.bmm(child.transpose(1, 2).float(), again.float()) > 0  # (B, K, M)
    longer = longer.masked_fill(taken, -inf)
    label = torch.logaddexp(old.label + last_scores, begins)
    label = label.masked_fill(old.last == blank, -inf)
    stay = Prefixes(label, total + frame.scores[:, blank : blank + 1], old.last, old.key, old.parent)
    return _choose(stay, longer, frame.ids, beam_size)


def _choose(stay: Prefixes, longer: Tensor, ids: Tensor, beam_size: int) -> tuple[Prefixes, Tensor, Tensor]:
    """Keeps the best of the prefixes as they are, (B, K), and of those with one token more, (B, K, M)."""
    width, choices = stay.last.size(1), ids.size(1)
    candidates = torch.cat([stay.total, longer.flatten(1)], 1)
    score, index = candidates.topk(min(beam_size, candidates.size(1)), dim=1)
    grown = index >= width
    parents = torch.where(grown, (index - width).div(choices, rounding_mode="floor"), index)
    tokens = ids.gather(1, (index - width).remainder(choices))
    key, last = stay.key.gather(1, parents), stay.last.gather(1, parents)
    chosen = Prefixes(
        torch.where(grown, score, stay.label.gather(1, parents)),
        stay.blank.gather(1, parents).masked_fill(grown, -inf),
        torch.where(grown, tokens, last),
        torch.where(grown, key * FACTOR + tokens + 1, key),
        torch.where(grown, key, stay.parent.gather(1, parents)),
    )
    return chosen, parents, tokens.masked_fill(~grown, -1)


def _read(trace: list[tuple[Tensor, Tensor]], totals: Tensor, n_best: int) -> list[list[Path]]:
    """Follows the n best back through the frames."""
    scores = totals[:, :n_best].tolist()
    rows = torch.arange(min(n_best, totals.size(1)), device=totals.device).expand(len(totals), -1)
    written = []
    for parents, tokens in reversed(trace):
        written.append(tokens.gather(1, rows))
        rows = parents.gather(1, rows)
    spelt = torch.stack(written[::-1], 2).tolist()  # (B, n, S)
    return [
        [
            (tuple(token for token in path if token >= 0), total)
            for path, total in zip(paths, row, strict=True)
            if total > -inf
        ]
        for paths, row in zip(spelt, scores, strict=True)
    ]

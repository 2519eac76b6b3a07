"""Copying: a source's tokens as types that may be written again, with the attention that they get.

Letters: B sources, T steps of one row or one step of T rows, S memory length, V vocabulary, X types beyond it, which
are the sources' own words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import torch
from torch import Tensor
from torch.nn import functional as F

from core.encoders.base import Memory
from core.errors import ConfigError

LARGEST_SCORE = 1e4  # of a gate: what overflowed in half precision is as good as closed, and stays a number


@dataclass(frozen=True)
class Copyable:
    """The tokens of B sources, made ready to be copied: once a source.

    Attributes:
        tokens: (B, S), ids of the target's vocabulary, and from V on the source's own words.
        present: (B, S), True where a token belongs to its source.
        first: (B, S) int64, the first position of the source that has the same token.
        size: V + X, the number of types that may be written.
    """

    tokens: Tensor
    present: Tensor
    first: Tensor
    size: int

    def select(self, sources: Tensor) -> Copyable:
        """Returns those sources (B',), in that order."""
        return replace(self, tokens=self.tokens[sources], present=self.present[sources], first=self.first[sources])

    def gathered(self, weights: Tensor) -> Tensor:
        """Sums weights (B, T, S) over equal tokens: (B, T, S), the sum at the first of them, zero at the others."""
        index = self.first.unsqueeze(1).expand_as(weights)
        return torch.zeros_like(weights).scatter_add(2, index, weights * self.present.unsqueeze(1))

    def mass(self, weights: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """How much attention goes to one type a step: weights (B, T, S) and ids (B, T) to (B, T).

        The second tensor (B, T) is True where the source has that type at all.
        """
        same = (self.tokens.unsqueeze(1) == wanted.unsqueeze(2)) & self.present.unsqueeze(1)
        return (weights * same).sum(2), same.any(2)


def copyable(memory: Memory, vocab_size: int) -> Copyable:
    """Makes a memory's tokens ready, for a target vocabulary of V types.

    Raises:
        ConfigError: the memory has none.
    """
    if memory.tokens is None:
        raise ConfigError(
            "model.decoder.copy is true, but the memory has no tokens that could be copied: encode a text with "
            "EncoderDecoder.encode, or set Memory.tokens"
        )
    tokens, present, size = memory.tokens, memory.mask, vocab_size + memory.extra_types
    positions = torch.arange(tokens.size(1), device=tokens.device).expand_as(tokens)
    claims = positions.masked_fill(~present, tokens.size(1))
    earliest = tokens.new_full((len(tokens), size), tokens.size(1)).scatter_reduce(1, tokens, claims, "amin")
    return Copyable(tokens, present, earliest.gather(1, tokens).minimum(positions), size)


def gate_log_probs(scores: Tensor, sources: Copyable) -> tuple[Tensor, Tensor]:
    """The logarithms of writing from the vocabulary and of copying: scores (B, T) to two (B, T).

    Where a source has no token, nothing is copied.
    """
    scores = scores.clamp(-LARGEST_SCORE, LARGEST_SCORE)
    empty = ~sources.present.any(1, keepdim=True)
    return F.logsigmoid(scores).masked_fill(empty, 0.0), F.logsigmoid(-scores)


def log_mass(mass: Tensor) -> Tensor:
    """The logarithm of attention, finite where there is none: clamped, so that no gradient is infinite either."""
    return mass.clamp(min=torch.finfo(mass.dtype).tiny).log()


def mix(written: Tensor, copying: Tensor, weights: Tensor, sources: Copyable) -> Tensor:
    """Adds what is copied to what is written, in logarithms (See, Liu and Manning 2017, equation 9).

    Args:
        written: log(p_gen P_vocab), (B, T, V).
        copying: log(1 - p_gen), (B, T).
        weights: of the attention, (B, T, S).
        sources: what they attend to.

    Returns:
        log-probabilities (B, T, V + X): -inf for the X where a source has no such word.
    """
    copied = log_mass(sources.gathered(weights)) + copying.unsqueeze(2)
    # Only the types of the source change; what is no first occurrence goes into one more column, which is cut off.
    positions = torch.arange(sources.tokens.size(1), device=weights.device)
    leads = sources.present & (sources.first == positions)
    index = sources.tokens.masked_fill(~leads, sources.size).unsqueeze(1).expand_as(copied)
    written = F.pad(written, (0, sources.size + 1 - written.size(2)), value=-inf)
    return written.scatter(2, index, written.gather(2, index).logaddexp(copied))[..., : sources.size]

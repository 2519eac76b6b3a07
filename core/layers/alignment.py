"""Attention of recurrent decoders: how well a decoder's state fits each state of the memory.

Letters: B sources, Q queries a source, S memory length, D query width, M memory width, A key width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from core.encoders.base import Memory
from core.errors import ConfigError
from core.layers.recurrent import as_autocast

Score = Literal["additive", "dot", "general"]

# Added to the score of a position that isn't there. Finite, so that a source of no length gives no NaN.
ABSENT = -1e9


@dataclass(frozen=True)
class Attendable:
    """A memory made ready to be attended to, once a source.

    Attributes:
        keys: (B, S, A), what queries are compared with.
        values: (B, S, M), zero beyond each length, so that a source of no length gives a context of zero.
        bias: (B, 1, S), added to the scores: 0 within each length, very low beyond.
    """

    keys: Tensor
    values: Tensor
    bias: Tensor

    def select(self, sources: Tensor) -> Attendable:
        """Returns those sources (B',), in that order."""
        return Attendable(self.keys[sources], self.values[sources], self.bias[sources])


class Attended(NamedTuple):
    """What queries (B, Q, D) found.

    Attributes:
        context: (B, Q, M).
        weights: (B, Q, S), that the contexts are means by.
        past: (B, Q, S), what the rows' next queries have to know of this one and those before; None if nothing.
    """

    context: Tensor
    weights: Tensor
    past: Tensor | None = None


def attend(scores: Tensor, memory: Attendable) -> Attended:
    """Makes weights and contexts of scores (B, Q, S)."""
    weights = (scores + memory.bias).softmax(-1)
    return Attended(torch.bmm(weights.to(memory.values.dtype), memory.values), weights)


class Alignment(nn.Module, ABC):
    """Attends to a memory with one head; subclasses say how a query and a key are compared."""

    def prepare(self, memory: Memory) -> Attendable:
        """Does what depends on the memory alone, before the first query."""
        values = as_autocast(memory.states.masked_fill(~memory.mask.unsqueeze(2), 0.0))
        bias = torch.zeros(memory.mask.shape, device=values.device).masked_fill(~memory.mask, ABSENT)
        return Attendable(self.keys(values), values, bias.unsqueeze(1))

    def begin(self, memory: Attendable) -> Tensor | None:
        """What a first query has to know of earlier ones, (B, S); None if nothing."""
        return None

    def forward(self, queries: Tensor, memory: Attendable, past: Tensor | None = None) -> Attended:
        """Attends with queries (B, Q, D) of Q rows a source, each with its own past (B, Q, S)."""
        return attend(self.scores(queries, memory.keys), memory)

    def follow(self, queries: Tensor, memory: Attendable) -> Attended:
        """Attends with the queries (B, T, D) of one row a source, in their order, from `begin` on."""
        return self(queries, memory)  # type: ignore[no-any-return]

    @abstractmethod
    def keys(self, values: Tensor) -> Tensor:
        """Makes the keys (B, S, A) of a memory's states (B, S, M)."""

    @abstractmethod
    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Compares queries (B, Q, D) with keys (B, S, A): (B, Q, S)."""


class DotAlignment(Alignment):
    """h . m (Luong et al. 2015, equation 8, "dot").

    Raises:
        ConfigError: the two widths differ.
    """

    def __init__(self, d_model: int, memory_size: int) -> None:
        super().__init__()
        if d_model != memory_size:
            raise ConfigError(
                f"attention: dot needs states of the memory's width, but model.decoder.d_model is {d_model} and the "
                f"memory's width is {memory_size}: make them equal, or choose attention: general"
            )

    def keys(self, values: Tensor) -> Tensor:
        """The states themselves."""
        return values

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Products of queries (B, Q, D) and keys (B, S, D): (B, Q, S)."""
        return torch.bmm(queries.to(keys.dtype), keys.transpose(1, 2))


class GeneralAlignment(Alignment):
    """h . W m (Luong et al. 2015, equation 8, "general")."""

    def __init__(self, d_model: int, memory_size: int) -> None:
        super().__init__()
        self.memory = nn.Linear(memory_size, d_model, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """W m: (B, S, M) to (B, S, D)."""
        keys: Tensor = self.memory(values)
        return keys

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Products of queries (B, Q, D) and keys (B, S, D): (B, Q, S)."""
        return torch.bmm(queries.to(keys.dtype), keys.transpose(1, 2))


class AdditiveAlignment(Alignment):
    """v . tanh(W h + U m) (Bahdanau et al. 2014, appendix A.1.2), with keys of the queries' width."""

    def __init__(self, d_model: int, memory_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.memory = nn.Linear(memory_size, d_model, bias=False)
        self.energy = nn.Linear(d_model, 1, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        """U m: (B, S, M) to (B, S, D)."""
        keys: Tensor = self.memory(values)
        return keys

    def scores(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Energies of queries (B, Q, D) and keys (B, S, D): (B, Q, S)."""
        compared = torch.tanh(self.query(queries).unsqueeze(2) + keys.unsqueeze(1))  # (B, Q, S, D)
        energies: Tensor = self.energy(compared).squeeze(3)
        return energies


ALIGNMENTS: dict[Score, type[DotAlignment] | type[GeneralAlignment] | type[AdditiveAlignment]] = {
    "additive": AdditiveAlignment,
    "dot": DotAlignment,
    "general": GeneralAlignment,
}

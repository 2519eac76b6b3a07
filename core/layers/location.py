"""Attention that knows where it looked before: additive scores with features of the earlier weights.

Letters: B sources, K rows a source, T steps, S memory length, D query and key width, F filters, W filter width.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import ConfigError
from core.layers.alignment import AdditiveAlignment, Attendable, Attended, attend


@dataclass(frozen=True)
class LocationOptions:
    """How `attention: location` reads and makes its weights.

    Attributes:
        filters: how many features of the earlier weights each position has; the paper's 10.
        width: states that a filter sees, odd. The paper's 201 are two seconds of 10 ms frames; 51 are about as much
            after an encoder that keeps every fourth.
        cumulative: the filters read the sum of all earlier weights rather than the last ones (Shen et al. 2018).
        sharpening: factor of the scores: above 1 for narrower weights (Chorowski et al. 2015, section 2.3).
        smoothing: weights in proportion to the scores' sigmoids rather than their exponentials, for wider ones
            (Chorowski et al. 2015, section 2.3).

    Raises:
        ConfigError: a number out of its range.
    """

    filters: int = 10
    width: int = 51
    cumulative: bool = False
    sharpening: float = 1.0
    smoothing: bool = False

    def __post_init__(self) -> None:
        if self.filters < 1:
            raise ConfigError(f"model.decoder.location.filters must be at least 1, got {self.filters}")
        if self.width < 1 or self.width % 2 == 0:
            raise ConfigError(
                f"model.decoder.location.width must be odd, so that a filter has a middle, and at least 1, got "
                f"{self.width}"
            )
        if self.sharpening <= 0:
            raise ConfigError(f"model.decoder.location.sharpening must be above 0, got {self.sharpening}")


class FollowedAlignment(AdditiveAlignment):
    """Additive attention whose scores depend on a row's earlier weights, so that queries come one after the other."""

    def forward(self, queries: Tensor, memory: Attendable, past: Tensor | None = None) -> Attended:
        """Attends with one query (B, K, D) of each row, whose earlier weights are (B, K, S)."""
        assert past is not None
        return self.look(self.query(queries), memory, past)

    def follow(self, queries: Tensor, memory: Attendable) -> Attended:
        """Attends with the queries (B, T, D) of one row a source, one after the other."""
        past: Tensor | None = self.begin(memory).unsqueeze(1)
        found = []
        for query in self.query(queries).unsqueeze(2).unbind(1):
            assert past is not None
            found.append(self.look(query, memory, past))
            past = found[-1].past
        contexts = torch.cat([each.context for each in found], 1)
        return Attended(contexts, torch.cat([each.weights for each in found], 1), past)

    @abstractmethod
    def begin(self, memory: Attendable) -> Tensor:
        """What a first query takes for earlier weights: (B, S)."""

    @abstractmethod
    def look(self, queries: Tensor, memory: Attendable, past: Tensor) -> Attended:
        """Attends with projected queries (B, K, D) and earlier weights (B, K, S)."""


class LocationAlignment(FollowedAlignment):
    """v . tanh(W h + U m + V f + b), f the earlier weights under F filters (Chorowski et al. 2015, equations 8 and 9).

    At the first step all earlier weight lies on the first state, as in the authors' code (rizar/attention-lvcsr):
    speech is read from its beginning.
    """

    def __init__(self, d_model: int, memory_size: int, options: LocationOptions) -> None:
        super().__init__(d_model, memory_size)
        self.options = options
        self.filters = nn.Linear(options.width, options.filters, bias=False)
        self.place = nn.Linear(options.filters, d_model)

    def begin(self, memory: Attendable) -> Tensor:
        """All weight on the first state: (B, S)."""
        past = torch.zeros(memory.values.shape[:2], device=memory.values.device)
        past[:, :1] = 1.0
        return past

    def look(self, queries: Tensor, memory: Attendable, past: Tensor) -> Attended:
        """Attends with projected queries (B, K, D) and earlier weights (B, K, S)."""
        places = self.place(self.filters(windows(past, self.options.width)))  # (B, K, S, D)
        compared = torch.tanh(queries.unsqueeze(2) + memory.keys.unsqueeze(1) + places)
        scores = self.options.sharpening * self.energy(compared).squeeze(3)
        if self.options.smoothing:
            scores = F.logsigmoid(scores)
        found = attend(scores, memory)
        return found._replace(past=past + found.weights if self.options.cumulative else found.weights)


def windows(values: Tensor, width: int) -> Tensor:
    """What lies around each position, zero beyond the ends: (..., S) to (..., S, W), W odd.

    A convolution is this and a matrix product: on a CPU twice as fast as torch's with one channel and few positions.
    """
    # One position more on the right than is looked at: a memory of no states has windows too, none of them.
    padded = F.pad(values, (width // 2, width // 2 + 1))
    return padded.unfold(-1, width, 1)[..., : values.size(-1), :]

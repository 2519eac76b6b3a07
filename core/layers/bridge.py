"""Bridges set a recurrent decoder's first state from what the encoder ends with.

Letters: B sources, L layers, D decoder width, M memory width.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from core.encoders.base import Memory
from core.errors import ConfigError
from core.layers.recurrent import Cell, Hidden

BridgeKind = Literal["copy", "project", "backward"]


class Bridge(nn.Module):
    """Makes the state before the first token, layer by layer from the top.

    - "copy": each layer starts where the encoder's layer ended (Sutskever et al. 2014; Luong et al. 2015).
    - "project": tanh(W h) of the layer's last hidden state, and W c of an LSTM's cell state; for an encoder that has
      no last state, of the mean of the memory.
    - "backward": as "project", from the second half of the last state: where a bidirectional encoder's backward
      direction ends, at the first token (Bahdanau et al. 2014, appendix A.2.2).

    A decoder with more layers than the encoder starts its lowest ones from the encoder's lowest.

    Raises:
        ConfigError: at construction, widths that don't fit; when called, a memory without the states that it needs.
    """

    def __init__(self, kind: BridgeKind, cell: Cell, memory_size: int, d_model: int, num_layers: int) -> None:
        super().__init__()
        check_widths(kind, memory_size, d_model)
        self.kind, self.num_layers = kind, num_layers
        self.parts = 2 if cell == "lstm" else 1
        size = memory_size // 2 if kind == "backward" else memory_size
        count = 0 if kind == "copy" else self.parts * num_layers
        self.project = nn.ModuleList(nn.Linear(size, d_model) for _ in range(count))

    def forward(self, memory: Memory) -> Hidden:
        """Returns the state of each layer, parts (B, D)."""
        layers = self.last_states(memory)
        if self.kind == "copy":
            return tuple(layers)
        return tuple(self.projected(index, states) for index, states in enumerate(layers))

    def projected(self, index: int, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Projects the encoder's states (B, M) for one layer: to parts (B, D)."""
        if self.kind == "backward":
            states = tuple(state.chunk(2, 1)[1] for state in states)
        first = self.parts * index
        hidden = torch.tanh(self.project[first](states[0]))
        # An encoder without cell states (a GRU, a Transformer) gives the LSTM's from its hidden ones.
        return (hidden,) if self.parts == 1 else (hidden, self.project[first + 1](states[-1]))

    def last_states(self, memory: Memory) -> list[tuple[Tensor, ...]]:
        """The encoder's last states (B, M) for each layer of the decoder."""
        final = memory.final
        if self.kind == "copy":
            check_copy(final, self.parts, self.num_layers)
        if not final:
            if self.kind == "backward":
                raise ConfigError("bridge: backward needs a bidirectional recurrent encoder: choose bridge: project")
            final = (mean_state(memory).unsqueeze(0),)
        above = len(final[0]) - self.num_layers
        return [tuple(part[max(0, above + layer)] for part in final[: self.parts]) for layer in range(self.num_layers)]


def mean_state(memory: Memory) -> Tensor:
    """The mean of each source's states, (B, M); zero for one of no length."""
    total = memory.states.masked_fill(~memory.mask.unsqueeze(2), 0.0).sum(1)
    return total / memory.lengths.clamp(min=1).unsqueeze(1)


def check_widths(kind: BridgeKind, memory_size: int, d_model: int) -> None:
    """Raises ConfigError where a bridge can't be built between those widths."""
    if kind not in ("copy", "project", "backward"):
        raise ConfigError(f"model.decoder.bridge must be copy, project or backward, got {kind!r}")
    if kind == "copy" and memory_size != d_model:
        raise ConfigError(
            f"model.decoder.bridge: copy needs equal widths, but model.decoder.d_model is {d_model} and the memory's "
            f"width is {memory_size}: make them equal, or choose bridge: project"
        )
    if kind == "backward" and memory_size % 2:
        raise ConfigError(f"model.decoder.bridge: backward needs a memory of even width, got {memory_size}")


def check_copy(final: tuple[Tensor, ...], parts: int, num_layers: int) -> None:
    """Raises ConfigError where an encoder's last states aren't those of the decoder's cell and depth."""
    layers = len(final[0]) if final else 0
    if len(final) != parts or layers != num_layers:
        raise ConfigError(
            f"model.decoder.bridge: copy needs an encoder of the decoder's cell and depth ({parts} states in each of "
            f"{num_layers} layers), but it ends with {len(final)} states in {layers} layers: make both the same, or "
            f"choose bridge: project"
        )

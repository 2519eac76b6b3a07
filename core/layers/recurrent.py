"""Recurrent layers: the plain cell (Elman 1990), the LSTM (Hochreiter & Schmidhuber 1997), the GRU (Cho et al. 2014).

Letters: N rows, T length, I input width, D hidden width, G gates' width: D, 4 * D or 3 * D.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import ConfigError
from core.layers.dropout import Dropout

Cell = Literal["rnn", "gru", "lstm"]
# A layer's state: the hidden state, and the cell state of an LSTM, each (N, D).
LayerState = tuple[Tensor, ...]
# A stack's state: that of each layer, bottom first.
Hidden = tuple[LayerState, ...]

LAYERS: dict[Cell, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def recurrent_layer(cell: Cell, input_size: int, hidden_size: int, bidirectional: bool = False) -> nn.RNNBase:
    """Makes one layer, batch first.

    Raises:
        ConfigError: an unknown cell.
    """
    if cell not in LAYERS:
        raise ConfigError(f"cell must be one of {', '.join(LAYERS)}, got {cell!r}")
    return LAYERS[cell](input_size, hidden_size, batch_first=True, bidirectional=bidirectional)


def as_autocast(x: Tensor) -> Tensor:
    """Returns x in autocast's type where that is on: converted once, rather than at each step of a recurrence."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def check_stack(num_layers: int, d_model: int) -> None:
    """Raises ConfigError where a stack would have no layer or no width."""
    if num_layers < 1:
        raise ConfigError(f"num_layers must be at least 1, got {num_layers}")
    if d_model < 1:
        raise ConfigError(f"d_model must be at least 1, got {d_model}")


class RecurrentStack(nn.Module):
    """A deep unidirectional recurrence that can be run over a whole sequence at once, or step by step.

    Both give the same: the step reads the same weights. Dropout stands between the layers (Zaremba et al. 2014).

    Args:
        cell: the kind of cell.
        input_size: the width I of the first layer's input.
        d_model: the width D of all layers.
        num_layers: how many.
        dropout: probability of dropping an element between two layers, in training.
        residual: add each layer's input to its output, from the second layer on (Wu et al. 2016, section 3.1).
    """

    def __init__(
        self, cell: Cell, input_size: int, d_model: int, num_layers: int, dropout: float, residual: bool
    ) -> None:
        super().__init__()
        check_stack(num_layers, d_model)
        sizes = [input_size] + [d_model] * (num_layers - 1)
        self.layers = nn.ModuleList(recurrent_layer(cell, size, d_model) for size in sizes)
        self.dropout = Dropout(dropout)
        self.residual = residual

    @property
    def gates(self) -> int:
        """The width G of what `project` makes."""
        return self.layers[0].weight_ih_l0.size(0)  # type: ignore[operator]

    def forward(self, inputs: Tensor, hidden: Hidden) -> Tensor:
        """Runs over whole sequences: inputs (N, T, I) and the state before them to the top's states (N, T, D)."""
        x = inputs
        for index, (layer, state) in enumerate(zip(self.layers, hidden, strict=True)):
            before = tuple(part.to(x.dtype).unsqueeze(0) for part in state)
            output, _ = layer(self.dropout(x) if index else x, before if len(before) > 1 else before[0])
            x = output + x if self.residual and index else output
        return x

    def project(self, inputs: Tensor) -> Tensor:
        """The part of the first layer's gates that comes from its input: (..., I) to (..., G), for `step`."""
        layer = self.layers[0]
        return F.linear(inputs, layer.weight_ih_l0, layer.bias_ih_l0)  # type: ignore[arg-type]

    def step(self, gates: Tensor, hidden: Hidden) -> tuple[Tensor, Hidden]:
        """Reads one input: its part of the first layer's gates (N, G) to the top's state (N, D), and all states."""
        after: list[LayerState] = []
        x = gates
        for index, (layer, state) in enumerate(zip(self.layers, hidden, strict=True)):
            if index:
                gates = F.linear(self.dropout(x), layer.weight_ih_l0, layer.bias_ih_l0)  # type: ignore[arg-type]
            after.append(advance(layer, gates, state))  # type: ignore[arg-type]
            x = after[-1][0] + x if self.residual and index else after[-1][0]
        return x, tuple(after)


def advance(layer: nn.RNNBase, gates: Tensor, state: LayerState) -> LayerState:
    """One step of one layer as torch's own: the input's part of the gates (N, G), input bias in it, and the state."""
    recurrent = F.linear(state[0], layer.weight_hh_l0, layer.bias_hh_l0)  # type: ignore[arg-type]
    if isinstance(layer, nn.LSTM):
        return lstm_cell(gates + recurrent, state[1])
    if isinstance(layer, nn.GRU):
        return (gru_cell(gates, recurrent, state[0]),)
    return (torch.tanh(gates + recurrent),)


def lstm_cell(gates: Tensor, cell: Tensor) -> LayerState:
    """The gates input, forget, candidate, output (N, 4 * D) and the cell state (N, D) to both states (N, D)."""
    enter, keep, candidate, leave = gates.chunk(4, 1)
    cell = torch.addcmul(enter.sigmoid() * candidate.tanh(), keep.sigmoid(), cell.to(gates.dtype))
    return leave.sigmoid() * cell.tanh(), cell


def gru_cell(gates: Tensor, recurrent: Tensor, hidden: Tensor) -> Tensor:
    """The gates reset, update, candidate (N, 3 * D), from the input and from the state (N, D), to the state (N, D)."""
    width = hidden.size(1)
    reset, update = (gates[:, : 2 * width] + recurrent[:, : 2 * width]).sigmoid().chunk(2, 1)
    candidate = torch.addcmul(gates[:, 2 * width :], reset, recurrent[:, 2 * width :]).tanh()
    return torch.lerp(candidate, hidden.to(candidate.dtype), update)

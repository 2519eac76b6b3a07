"""A recurrent layer over padded sequences, exact and fast.

Letters: B batch, S length, I input width, D hidden width of a direction, E states' width: D, or 2 * D of two
directions, G gates' width: D, 3 * D or 4 * D.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from core.layers.recurrent import Cell, LayerState, as_autocast, recurrent_layer
from core.masks import length_mask

# What each gate is told of padding, in torch's order. LSTM: input shut, forget open (the cell stays as it is),
# candidate, output; GRU: reset, update open (the state stays as it is), candidate. A plain cell has no gate.
HOLDING: dict[Cell, tuple[float, ...]] = {"lstm": (-1e3, 1e3, 0.0, 0.0), "gru": (0.0, 1e3, 0.0), "rnn": (0.0,)}


class PaddedRecurrence(nn.Module):
    """One layer, in one direction or both, over each sequence as if it were alone.

    On a GPU by packed sequences. On the CPU torch's gradient of those takes time that grows with the square of the
    length (four layers back over eight utterances of three seconds: 1.7 s, where this takes 0.13 s), so there the input
    gets one more column, which marks padding, with weights that make the gates hold the state: the backward direction
    comes to a sequence's end with the zeros that it began with, and the forward one keeps what it ended with. A plain
    cell can't hold its state, so that both of its directions are packed there too.

    Args:
        cell: the kind of cell.
        input_size: I.
        hidden_size: D.
        bidirectional: read from both ends.

    Raises:
        ConfigError: an unknown cell.
    """

    holding: Tensor

    def __init__(self, cell: Cell, input_size: int, hidden_size: int, bidirectional: bool = True) -> None:
        super().__init__()
        self.layer = recurrent_layer(cell, input_size, hidden_size, bidirectional)
        self.holds = cell != "rnn" or not bidirectional
        holding = torch.tensor(HOLDING[cell]).repeat_interleave(hidden_size).unsqueeze(1)
        self.register_buffer("holding", holding, persistent=False)  # (G, 1)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, LayerState]:
        """Runs over x (B, S, I), which is finite in the padding too; no length is zero.

        Returns:
            states (B, S, E), zero beyond each length, and the last ones, each (B, E): the hidden state, and the cell
            state of an LSTM.
        """
        return self.held(x, lengths) if self.holds and x.device.type == "cpu" else self.packed(x, lengths)

    def packed(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, LayerState]:
        """Runs over packed sequences."""
        sequences = pack_padded_sequence(as_autocast(x), lengths.cpu(), batch_first=True, enforce_sorted=False)
        output, final = self.layer(sequences)
        states, _ = pad_packed_sequence(output, batch_first=True, total_length=x.size(1))
        return states, side_by_side(final if isinstance(final, tuple) else (final,))

    def held(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, LayerState]:
        """Runs over padded sequences, holding the state in the padding."""
        mask = length_mask(lengths, x.size(1)).unsqueeze(2)
        x = as_autocast(torch.cat([x, (~mask).to(x.dtype)], dim=2))
        weights = [self.marked(name, weight) for name, weight in self.layer.named_parameters()]
        directions = 2 if self.layer.bidirectional else 1
        zeros = x.new_zeros(directions, len(x), self.layer.hidden_size)
        settings = (True, 1, 0.0, self.training, self.layer.bidirectional, True)
        cells: LayerState = ()
        if isinstance(self.layer, nn.LSTM):
            output, hidden, cell = torch.lstm(x, (zeros, zeros), weights, *settings)
            cells = (cell,)
        elif isinstance(self.layer, nn.GRU):
            output, hidden = torch.gru(x, zeros, weights, *settings)
        else:
            output, hidden = torch.rnn_tanh(x, zeros, weights, *settings)
        # The last state of the forward direction is looked up: an LSTM's cell was held, but its output gate and a plain
        # cell have read padding.
        end = (lengths - 1).view(-1, 1, 1).expand(-1, 1, hidden.size(2))
        forward = output[..., : hidden.size(2)].gather(1, end).transpose(0, 1)
        return output.masked_fill(~mask, 0.0), side_by_side((torch.cat([forward, hidden[1:]]), *cells))

    def marked(self, name: str, weight: Tensor) -> Tensor:
        """Adds the column of the mark to an input's weights (G, I); leaves others as they are."""
        return torch.cat([weight, self.holding], dim=1) if name.startswith("weight_ih") else weight


def side_by_side(final: tuple[Tensor, ...]) -> LayerState:
    """Puts the directions' states side by side: each (1 or 2, B, D) to (B, E)."""
    return tuple(part.transpose(0, 1).flatten(1) for part in final)

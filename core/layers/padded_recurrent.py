"""A gated recurrence over long padded sequences, exact and fast.

Letters: B batch, S length, I input width, D hidden width of a direction, G gates' width: 4 * D or 3 * D.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from core.errors import ConfigError
from core.layers.recurrent import LayerState, as_autocast
from core.masks import length_mask

GatedCell = Literal["gru", "lstm"]

# What each gate is told of padding, in torch's order. LSTM: input shut, forget open (the cell stays as it is),
# candidate, output; GRU: reset, update open (the state stays as it is), candidate.
HOLDING: dict[GatedCell, tuple[float, ...]] = {"lstm": (-1e3, 1e3, 0.0, 0.0), "gru": (0.0, 1e3, 0.0)}


class PaddedRecurrence(nn.Module):
    """One layer in both directions, each sequence as if it were alone.

    On a GPU by packed sequences. On the CPU torch's gradient of those takes time that grows with the square of the
    length (four layers back over eight utterances of three seconds: 1.7 s, where this takes 0.13 s), so there the input
    gets one more column, which marks padding, with weights that make the gates hold the state: the backward direction
    comes to a sequence's end with the zeros that it began with, and the forward one keeps what it ended with.

    Args:
        cell: the kind of cell; a plain one has no gate that could hold its state.
        input_size: I.
        hidden_size: D.

    Raises:
        ConfigError: an unknown cell.
    """

    holding: Tensor

    def __init__(self, cell: GatedCell, input_size: int, hidden_size: int) -> None:
        super().__init__()
        if cell not in HOLDING:
            raise ConfigError(f"cell must be gru or lstm, got {cell!r}")
        make = nn.LSTM if cell == "lstm" else nn.GRU
        self.layer = make(input_size, hidden_size, batch_first=True, bidirectional=True)
        holding = torch.tensor(HOLDING[cell]).repeat_interleave(hidden_size).unsqueeze(1)
        self.register_buffer("holding", holding, persistent=False)  # (G, 1)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, LayerState]:
        """Runs over x (B, S, I), which is finite in the padding too; no length is zero.

        Returns:
            states (B, S, 2 * D), zero beyond each length, and the last ones, each (B, 2 * D): the hidden state, and
            the cell state of an LSTM.
        """
        return self.held(x, lengths) if x.device.type == "cpu" else self.packed(x, lengths)

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
        zeros, settings = x.new_zeros(2, len(x), self.layer.hidden_size), (True, 1, 0.0, self.training, True, True)
        if isinstance(self.layer, nn.GRU):
            output, hidden = torch.gru(x, zeros, weights, *settings)
            return output.masked_fill(~mask, 0.0), side_by_side((hidden,))
        output, hidden, cells = torch.lstm(x, (zeros, zeros), weights, *settings)
        # The cell was held, but its output gate read padding: the last hidden state is looked up.
        end = (lengths - 1).view(-1, 1, 1).expand(-1, 1, hidden.size(2))
        forward = output[..., : hidden.size(2)].gather(1, end).squeeze(1)
        return output.masked_fill(~mask, 0.0), side_by_side((torch.stack([forward, hidden[1]]), cells))

    def marked(self, name: str, weight: Tensor) -> Tensor:
        """Adds the column of the mark to an input's weights (G, I); leaves others as they are."""
        return torch.cat([weight, self.holding], dim=1) if name.startswith("weight_ih") else weight


def side_by_side(final: tuple[Tensor, ...]) -> LayerState:
    """Puts both directions' states side by side: each (2, B, D) to (B, 2 * D)."""
    return tuple(part.transpose(0, 1).flatten(1) for part in final)

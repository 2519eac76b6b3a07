"""The recurrent encoder for text: plain, GRU or LSTM; one direction or both; any depth.

Letters: B batch, S source length, D model width, L layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.batch import Source
from core.encoders.base import Encoder, Memory
from core.errors import ConfigError
from core.layers.dropout import Dropout
from core.layers.padded_recurrent import PaddedRecurrence
from core.layers.recurrent import Cell, check_stack
from core.layers.recurrent_init import Init, initialise
from core.masks import length_mask


class RecurrentEncoder(Encoder):
    """Encodes tokens by a recurrence (Sutskever et al. 2014; bidirectional: Bahdanau et al. 2014, section 3.2).

    Padding reaches the recurrence in neither direction; see `core.layers.padded_recurrent`.

    Args:
        vocab_size: number of the source's types.
        d_model: width D of the states; the two directions share it.
        cell: the kind of cell.
        num_layers: L.
        bidirectional: read from both ends.
        reverse: read from the end (Sutskever et al. 2014, section 3.3), so that the last state is that of the first
            token. The states keep the source's order all the same.
        embedding_size: width of the embeddings; D where it is None.
        dropout: of the embeddings and between layers.
        residual: add each layer's input to its output, from the second layer on.
        init: how the weights begin; see `core.layers.recurrent_init.initialise`.
        forget_bias: added to the bias of an LSTM's forget gates.

    Raises:
        ConfigError: an odd width for two directions, `reverse` with `bidirectional`, no layer.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 256,
        cell: Cell = "gru",
        num_layers: int = 1,
        bidirectional: bool = True,
        reverse: bool = False,
        embedding_size: int | None = None,
        dropout: float = 0.2,
        residual: bool = False,
        init: Init = "glorot",
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__()
        check_stack(num_layers, d_model)
        check_directions(d_model, bidirectional, reverse)
        self.d_model, self.reverse, self.residual = d_model, reverse, residual
        # No padding index: padding is never looked up.
        self.embed = nn.Embedding(vocab_size, embedding_size or d_model)
        hidden_size = d_model // 2 if bidirectional else d_model
        sizes = [embedding_size or d_model] + [d_model] * (num_layers - 1)
        self.layers = nn.ModuleList(PaddedRecurrence(cell, size, hidden_size, bidirectional) for size in sizes)
        self.dropout = Dropout(dropout)
        initialise(self, init, forget_bias)

    @property
    def embedding(self) -> nn.Embedding:
        """The source's token embeddings (V, E)."""
        return self.embed

    def forward(self, source: Source) -> Memory:
        """Encodes token ids (B, S): states (B, S, D), and the last states of each layer.

        A source of no length has no states, and zero for its last ones.
        """
        size = source.values.size(1)
        values = source.values if size else F.pad(source.values, (0, 1))
        lengths = source.lengths.clamp(min=1)  # nothing is read as one token of padding, and then forgotten
        order = from_the_end(lengths, values.size(1)) if self.reverse else None
        x = self.embed(values if order is None else values.gather(1, order))
        last = []
        for index, layer in enumerate(self.layers):
            output, final = layer(self.dropout(x), lengths)
            x = output + x if self.residual and index else output
            last.append(final)
        if order is not None:
            x = x.gather(1, order.unsqueeze(2).expand_as(x))
        states = x[:, :size].masked_fill(~length_mask(source.lengths, size).unsqueeze(2), 0.0)
        present = (source.lengths > 0).view(1, -1, 1)
        return Memory(states, source.lengths, tuple(torch.stack(part) * present for part in zip(*last, strict=True)))


def check_directions(d_model: int, bidirectional: bool, reverse: bool) -> None:
    """Raises ConfigError where the directions can't be had."""
    if bidirectional and d_model % 2:
        raise ConfigError(f"model.encoder.d_model must be even (two directions share it), got {d_model}")
    if bidirectional and reverse:
        raise ConfigError(
            "model.encoder.reverse is true, but model.encoder.bidirectional reads from both ends: set one of the two"
        )


def from_the_end(lengths: Tensor, size: int) -> Tensor:
    """Where each position of a reversed sequence stands in the sequence itself, (B, size); zero in the padding."""
    return (lengths.unsqueeze(1) - 1 - torch.arange(size, device=lengths.device)).clamp(min=0)

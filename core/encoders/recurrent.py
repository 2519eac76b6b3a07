"""The recurrent encoder for text: plain, GRU or LSTM; one direction or both; any depth.

Letters: B batch, S source length, D model width, L layers, P tokens in the batch that aren't padding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from core.batch import Source
from core.encoders.base import Encoder, Memory
from core.errors import ConfigError
from core.layers.dropout import Dropout
from core.layers.recurrent import Cell, as_autocast, check_stack, recurrent_layer
from core.layers.recurrent_init import Init, initialise
from core.masks import length_mask


class RecurrentEncoder(Encoder):
    """Encodes tokens by a recurrence (Sutskever et al. 2014; bidirectional: Bahdanau et al. 2014, section 3.2).

    Padding is taken out of the batch before anything is computed, so that none reaches the recurrence, in either
    direction, and none is paid for.

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
        self.layers = nn.ModuleList(recurrent_layer(cell, size, hidden_size, bidirectional) for size in sizes)
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
        layout = packed_positions(source.lengths, values.size(1), self.reverse)
        states, final = self.run(PackedSequence(self.embed(values.flatten()[layout.data]), *layout[1:]))
        present = (source.lengths > 0).view(1, -1, 1)
        states = unpacked(states, layout.data, length_mask(source.lengths, values.size(1)))
        return Memory(states[:, :size], source.lengths, tuple(part * present for part in final))

    def run(self, packed: PackedSequence) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Runs all layers over embeddings (P, E): the top's states (P, D), and all last states, each (L, B, D)."""
        x, layout, last = packed.data, packed[1:], []
        for index, layer in enumerate(self.layers):
            output, final = layer(PackedSequence(as_autocast(self.dropout(x)), *layout))
            x = output.data + x if self.residual and index else output.data
            parts = final if isinstance(final, tuple) else (final,)
            last.append([part.transpose(0, 1).flatten(1) for part in parts])  # directions side by side: (B, D)
        return x, tuple(torch.stack(part) for part in zip(*last, strict=True))


def check_directions(d_model: int, bidirectional: bool, reverse: bool) -> None:
    """Raises ConfigError where the directions can't be had."""
    if bidirectional and d_model % 2:
        raise ConfigError(f"model.encoder.d_model must be even (two directions share it), got {d_model}")
    if bidirectional and reverse:
        raise ConfigError(
            "model.encoder.reverse is true, but model.encoder.bidirectional reads from both ends: set one of the two"
        )


def packed_positions(lengths: Tensor, size: int, reverse: bool) -> PackedSequence:
    """Lists where the tokens of a flat (B * size,) batch stand, in the order in which a recurrence reads them.

    Integers are packed, rather than the embeddings, because moving those to and fro costs as much as a layer. A source
    of no length is given one position, of padding, because torch doesn't pack nothing.
    """
    offsets = torch.arange(size, device=lengths.device).expand(len(lengths), size)
    if reverse:
        offsets = (lengths.unsqueeze(1) - 1 - offsets).clamp(min=0)
    positions = offsets + size * torch.arange(len(lengths), device=lengths.device).unsqueeze(1)
    return pack_padded_sequence(positions, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)


def unpacked(states: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
    """Puts states (P, D) back to their positions (P,) of a batch (B, S): (B, S, D), zero outside of the mask (B, S)."""
    nothing = len(states)
    sources = positions.new_full((mask.numel(),), nothing)
    sources[positions] = torch.arange(nothing, device=positions.device)
    sources = sources.masked_fill(~mask.flatten(), nothing)
    padded = torch.cat([states, states.new_zeros(1, states.size(1))])
    # Not by subscripts, whose gradient is several times slower.
    return padded.index_select(0, sources).view(*mask.shape, -1)

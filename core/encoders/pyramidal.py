"""The pyramidal recurrent encoder for speech.

Letters: B batch, S source length in frames, F features a frame, D model width, L layers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.batch import Source
from core.encoders.base import Encoder, Memory
from core.encoders.frames import read_frames
from core.encoders.recurrent import check_directions
from core.errors import ConfigError
from core.layers.dropout import Dropout
from core.layers.padded_recurrent import PaddedRecurrence
from core.layers.recurrent import Cell, check_stack
from core.layers.recurrent_init import Init, initialise


class PyramidalEncoder(Encoder):
    """Encodes frames by bidirectional layers, each of the upper ones at half the pace of the one below it.

    The listener of Listen, Attend and Spell (Chan et al. 2016, section 3.1, equation 5): a layer of the pyramid reads
    the states of the one below in pairs, side by side. A last state without a partner is paired with zeros, so that no
    frame is lost: n layers make ceil(S / 2^n) states of S frames.

    Args:
        source_size: features a frame F.
        d_model: width D of the states, which the two directions share.
        num_layers: layers at the pace of the frames, below the pyramid; the paper has one.
        num_pyramid_layers: layers that halve the pace; the paper has three.
        cell: the kind of cell.
        dropout: between layers.
        init: how the weights begin; see `core.layers.recurrent_init.initialise`. The paper's U(-0.1, 0.1) is
            "luong2015" with a forget bias of 0.
        forget_bias: added to the bias of an LSTM's forget gates.

    Raises:
        ConfigError: an odd width, no layer at the bottom, a negative number of layers above it.
    """

    def __init__(
        self,
        source_size: int,
        d_model: int = 256,
        num_layers: int = 1,
        num_pyramid_layers: int = 2,
        cell: Cell = "lstm",
        dropout: float = 0.2,
        init: Init = "glorot",
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__()
        check_stack(num_layers, d_model)
        check_directions(d_model, bidirectional=True, reverse=False)
        if num_pyramid_layers < 0:
            raise ConfigError(f"model.encoder.num_pyramid_layers must be at least 0, got {num_pyramid_layers}")
        self.source_size, self.d_model, self.num_layers = source_size, d_model, num_layers
        self.subsampling = int(2**num_pyramid_layers)
        sizes = [source_size] + [d_model] * (num_layers - 1) + [2 * d_model] * num_pyramid_layers
        self.layers = nn.ModuleList(PaddedRecurrence(cell, size, d_model // 2) for size in sizes)
        self.dropout = Dropout(dropout)
        initialise(self, init, forget_bias)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Lengths in frames (B,) to lengths in states (B,), rounded up."""
        return (lengths + self.subsampling - 1) // self.subsampling

    def forward(self, source: Source) -> Memory:
        """Encodes frames (B, S, F): states (B, ceil(S / subsampling), D), and the last states of each layer.

        Raises:
            DataError: a source without a frame.
            ConfigError: frames of another size.
        """
        x, lengths, last = read_frames(source, self.source_size, least=1), source.lengths, []
        for index, layer in enumerate(self.layers):
            if index >= self.num_layers:
                x, lengths = paired(x), (lengths + 1) // 2
            x, final = layer(self.dropout(x) if index else x, lengths)
            last.append(final)
        return Memory(x, lengths, tuple(torch.stack(part) for part in zip(*last, strict=True)))


def paired(x: Tensor) -> Tensor:
    """Puts neighbouring states side by side, a last one without a partner beside zeros: (B, ceil(S / 2), 2 * D)."""
    return F.pad(x, (0, 0, 0, x.size(1) % 2)).view(x.size(0), -1, 2 * x.size(2))

"""What the Transformer and the Conformer for speech share: frames, subsampled, through a stack of layers.

Letters: B batch, S source length in frames, F features a frame, D model width.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn

from core.batch import Source
from core.encoders.base import Encoder, Memory
from core.encoders.frames import read_frames
from core.layers.dropout import Dropout
from core.layers.relative import FramePositions, make_frame_positions
from core.layers.subsampling import ConvSubsampling
from core.masks import length_mask


class SubsampledEncoder(Encoder):
    """Subsamples frames by convolutions, tells their order, and runs layers over them.

    Args:
        subsample: makes states of frames.
        source_size: features a frame F.
        d_model: width D of the states.
        positions: how the order of the states is told; rotary and relative ones are the layers' matter.
        dropout: of the states with their positions.
        layers: each maps states (B, S', D) and a mask (B, 1, 1, S') to states.
        norm: normalise the last layer's output.
    """

    subsampling = ConvSubsampling.subsampling

    def __init__(
        self,
        source_size: int,
        d_model: int,
        conv_channels: int,
        positions: FramePositions,
        dropout: float,
        layers: Iterable[nn.Module],
        norm: bool,
    ) -> None:
        super().__init__()
        self.source_size, self.d_model = source_size, d_model
        self.subsample = ConvSubsampling(source_size, d_model, conv_channels)
        self.positions = make_frame_positions(positions, d_model)
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(d_model) if norm else nn.Identity()

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Lengths in frames (B,) to lengths in states (B,)."""
        return self.subsample.output_lengths(lengths)

    def forward(self, source: Source) -> Memory:
        """Encodes frames (B, S, F): states (B, S', D).

        Raises:
            DataError: a source of fewer frames than one state needs.
            ConfigError: frames of another size.
        """
        x = self.subsample(read_frames(source, self.source_size, self.subsample.least_frames))
        lengths = self.output_lengths(source.lengths)
        mask = length_mask(lengths, x.size(1))  # (B, S')
        x = self.dropout(self.positions(x))
        for layer in self.layers:
            x = layer(x, mask[:, None, None])
        return Memory(self.norm(x).masked_fill(~mask.unsqueeze(2), 0.0), lengths)

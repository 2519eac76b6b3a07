"""The Conformer encoder for speech.

Letters: F features a frame, D model width, H heads.
"""

from __future__ import annotations

from core.encoders.subsampled import SubsampledEncoder
from core.layers.conformer import ConformerLayer, ConformerOptions, ConvNorm
from core.layers.feed_forward import Activation
from core.layers.relative import FramePositions


class ConformerEncoder(SubsampledEncoder):
    """Encodes frames by self-attention and convolutions, between two half steps of feed-forward (Gulati et al. 2020).

    The defaults are near the paper's Conformer (S), with rotary positions in place of relative ones and layer norm in
    place of batch norm: both are faster, and layer norm trains on batches of any size and mixture alike.

    Args:
        source_size: features a frame F, at least 11.
        d_model: width D of the states.
        num_layers: layers.
        num_heads: heads H of each attention; they share the width.
        ffn_size: width between the two maps of each feed-forward part; the paper has 4 * D.
        conv_channels: channels of the two convolutions that subsample; see `core.layers.subsampling.ConvSubsampling`
            for their cost.
        kernel_size: how many states a layer's convolution sees, an odd number.
        dropout: of each sublayer's output and of the subsampled frames.
        attention_dropout: of the attention's weights.
        activation_dropout: within the feed-forward parts.
        activation: within the feed-forward parts.
        positions: how the order of the frames is told; the paper's are "relative" (Dai et al. 2019).
        conv_norm: of the convolution: "layer", or "batch" as in the paper, over real states only and over all ranks.

    Raises:
        ConfigError: num_heads doesn't divide d_model, an odd width with positions that need an even one, an even
            kernel, too few features.
    """

    def __init__(
        self,
        source_size: int,
        d_model: int = 144,
        num_layers: int = 8,
        num_heads: int = 4,
        ffn_size: int = 576,
        conv_channels: int = 64,
        kernel_size: int = 15,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        activation_dropout: float = 0.0,
        activation: Activation = "silu",
        positions: FramePositions = "rotary",
        conv_norm: ConvNorm = "layer",
    ) -> None:
        options = ConformerOptions(
            d_model=d_model,
            num_heads=num_heads,
            ffn_size=ffn_size,
            dropout=dropout,
            attention_dropout=attention_dropout,
            activation_dropout=activation_dropout,
            activation=activation,
            norm="pre",
            rotary=positions == "rotary",
            relative=positions == "relative",
            kernel_size=kernel_size,
            conv_norm=conv_norm,
        )
        layers = [ConformerLayer(options) for _ in range(num_layers)]
        # Each layer ends with a norm of its own.
        super().__init__(source_size, d_model, conv_channels, positions, dropout, layers, norm=False)

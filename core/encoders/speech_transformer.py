"""The Transformer encoder for speech.

Letters: F features a frame, D model width, H heads.
"""

from __future__ import annotations

from core.encoders.subsampled import SubsampledEncoder
from core.layers.feed_forward import Activation
from core.layers.identity import begin_as_identity
from core.layers.relative import FrameLayerOptions, FramePositions
from core.layers.transformer import EncoderLayer, Norm


class SpeechTransformerEncoder(SubsampledEncoder):
    """Encodes frames by convolutions and self-attention (Dong et al. 2018, section 3).

    Args:
        source_size: features a frame F, at least 11.
        d_model: width D of the states.
        num_layers: layers of self-attention and feed-forward.
        num_heads: heads H of each attention; they share the width.
        ffn_size: width between the two maps of the feed-forward part.
        conv_channels: channels of the two convolutions; see `core.layers.subsampling.ConvSubsampling` for their cost.
        dropout: of each sublayer's output and of the subsampled frames.
        attention_dropout: of the attention's weights.
        activation_dropout: within the feed-forward part.
        activation: within the feed-forward part.
        norm: before each sublayer, with one more at the end ("pre"), or after each residual as in the paper ("post").
        positions: how the order of the frames is told.

    Raises:
        ConfigError: num_heads doesn't divide d_model, an odd width with positions that need an even one, too few
            features.
    """

    def __init__(
        self,
        source_size: int,
        d_model: int = 256,
        num_layers: int = 8,
        num_heads: int = 4,
        ffn_size: int = 1024,
        conv_channels: int = 64,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        activation_dropout: float = 0.0,
        activation: Activation = "relu",
        norm: Norm = "pre",
        positions: FramePositions = "sinusoidal",
    ) -> None:
        options = FrameLayerOptions(
            d_model=d_model,
            num_heads=num_heads,
            ffn_size=ffn_size,
            dropout=dropout,
            attention_dropout=attention_dropout,
            activation_dropout=activation_dropout,
            activation=activation,
            norm=norm,
            rotary=positions == "rotary",
            relative=positions == "relative",
        )
        layers = [EncoderLayer(options) for _ in range(num_layers)]
        if norm == "pre":
            for layer in layers:
                begin_as_identity(layer.attention.output, layer.feed_forward.outer)
        super().__init__(source_size, d_model, conv_channels, positions, dropout, layers, norm=norm == "pre")

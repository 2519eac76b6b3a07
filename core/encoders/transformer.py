"""The Transformer encoder for text.

Letters: B batch, S source length, D model width, H heads.
"""

from __future__ import annotations

from torch import Tensor, nn

from core.batch import Source, TextBatch
from core.encoders.base import Encoder, Memory
from core.errors import ConfigError
from core.layers.embedding import TokenEmbedding
from core.layers.feed_forward import Activation
from core.layers.positions import Positions
from core.layers.transformer import EncoderLayer, LayerOptions, Norm
from core.masks import length_mask


class TransformerEncoder(Encoder):
    """Encodes tokens by self-attention (Vaswani et al. 2017, section 3.1).

    Embeddings are drawn from N(0, 1/D), matrices as Xavier's, biases are zero (as tensor2tensor and fairseq do).

    Args:
        vocab_size: number of the source's types.
        d_model: width D of the states.
        num_layers: layers of self-attention and feed-forward.
        num_heads: heads H of each attention; they share the width.
        ffn_size: width between the two maps of the feed-forward part.
        dropout: of each sublayer's output and of the embeddings.
        attention_dropout: of the attention's weights.
        activation_dropout: within the feed-forward part.
        activation: within the feed-forward part.
        norm: before each sublayer, with one more at the end ("pre"), or after each residual as in the paper ("post").
        positions: how the order of the tokens is told.
        max_positions: the longest source that learned positions allow.
        scale_embedding: multiply the embeddings by sqrt(D).
        num_segments: learned vectors that tell the parts of a source apart (Devlin et al. 2019, figure 2), a question
            and its context say: the parts beyond have the last one's; 0 for none.

    Raises:
        ConfigError: num_heads doesn't divide d_model, an odd width with positions that need an even one.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 256,
        num_layers: int = 4,
        num_heads: int = 4,
        ffn_size: int = 1024,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        activation_dropout: float = 0.0,
        activation: Activation = "relu",
        norm: Norm = "pre",
        positions: Positions = "sinusoidal",
        max_positions: int = 1024,
        scale_embedding: bool = True,
        num_segments: int = 0,
    ) -> None:
        super().__init__()
        self.d_model = d_model
        self.segments = nn.Embedding(num_segments, d_model) if num_segments else None
        options = LayerOptions(
            d_model=d_model,
            num_heads=num_heads,
            ffn_size=ffn_size,
            dropout=dropout,
            attention_dropout=attention_dropout,
            activation_dropout=activation_dropout,
            activation=activation,
            norm=norm,
            rotary=positions == "rotary",
        )
        self.embed = TokenEmbedding(
            vocab_size, d_model, dropout, positions, max_positions, scale_embedding, "model.encoder"
        )
        self.layers = nn.ModuleList(EncoderLayer(options) for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_model) if norm == "pre" else nn.Identity()

    @property
    def embedding(self) -> nn.Embedding:
        """The source's token embeddings (V, D)."""
        return self.embed.table

    def forward(self, source: Source) -> Memory:
        """Encodes token ids (B, S): states (B, S, D)."""
        mask = length_mask(source.lengths, source.values.size(1))  # (B, S)
        x = self.embed(source.values)
        if self.segments is not None:
            x = x + self.segments(parts_of(source).clamp(max=self.segments.num_embeddings - 1))
        for layer in self.layers:
            x = layer(x, mask[:, None, None])
        states = self.norm(x).masked_fill(~mask.unsqueeze(2), 0.0)
        return Memory(states, source.lengths)


def parts_of(source: Source) -> Tensor:
    """The part that each token of a source belongs to: (B, S) int64.

    Raises:
        ConfigError: the data makes sources of one part.
    """
    if not isinstance(source, TextBatch) or source.segments is None:
        raise ConfigError("model.encoder.num_segments: the data's sources have one part only; set it to 0")
    return source.segments

"""Layers of the Transformer (Vaswani et al. 2017, figure 1), post-norm as there or pre-norm (Xiong et al. 2020).

Letters: B batch, T target length, S source length, D model width, M memory width, H heads, E width of a head,
K rows a source, C capacity of the caches, U slots of them in use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from core.errors import ConfigError
from core.layers.attention import CrossAttention, SelfAttention
from core.layers.dropout import Dropout
from core.layers.feed_forward import Activation, FeedForward

Norm = Literal["pre", "post"]


@dataclass(frozen=True)
class LayerOptions:
    """What all layers of a stack share; see `core.encoders.transformer.TransformerEncoder` for the meaning.

    Raises:
        ConfigError: num_heads doesn't divide d_model, or an unknown norm.
    """

    d_model: int
    num_heads: int
    ffn_size: int
    dropout: float
    attention_dropout: float
    activation_dropout: float
    activation: Activation
    norm: Norm
    rotary: bool

    def __post_init__(self) -> None:
        if self.norm not in ("pre", "post"):
            raise ConfigError(f"norm must be pre or post, got {self.norm!r}")

    def self_attention(self) -> SelfAttention:
        """Makes a layer's attention to its own sequence."""
        return SelfAttention(self.d_model, self.num_heads, self.attention_dropout, self.rotary)

    def feed_forward(self) -> FeedForward:
        """Makes a layer's feed-forward part."""
        return FeedForward(self.d_model, self.ffn_size, self.activation, self.activation_dropout)

    def residual(self) -> Residual:
        """Makes what goes around each of a layer's parts."""
        return Residual(self.d_model, self.dropout, self.norm)


class Residual(nn.Module):
    """Adds a sublayer's output, after dropout, to its input; normalises before the sublayer or after the sum."""

    def __init__(self, d_model: int, dropout: float, norm: Norm) -> None:
        super().__init__()
        self.pre = norm == "pre"
        self.norm = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, sublayer: Callable[[Tensor], Tensor]) -> Tensor:
        """Goes around a sublayer that maps (B, T, D) to (B, T, D)."""
        if self.pre:
            summed: Tensor = self.dropout(sublayer(self.norm(x)), x)
            return summed
        normed: Tensor = self.norm(self.dropout(sublayer(x), x))
        return normed


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward, each within a residual."""

    def __init__(self, options: LayerOptions) -> None:
        super().__init__()
        self.attention = options.self_attention()
        self.attention_residual = options.residual()
        self.feed_forward = options.feed_forward()
        self.feed_forward_residual = options.residual()

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Maps x (B, S, D) to (B, S, D); the mask is True where a state may be attended to: (B, 1, 1, S)."""
        x = self.attention_residual(x, lambda normed: self.attention(normed, mask))
        output: Tensor = self.feed_forward_residual(x, self.feed_forward)
        return output


class DecoderLayer(nn.Module):
    """Self-attention, attention to a memory, and feed-forward, each within a residual."""

    def __init__(self, options: LayerOptions, memory_size: int) -> None:
        super().__init__()
        self.attention = options.self_attention()
        self.attention_residual = options.residual()
        self.cross_attention = CrossAttention(
            options.d_model, memory_size, options.num_heads, options.attention_dropout
        )
        self.cross_residual = options.residual()
        self.feed_forward = options.feed_forward()
        self.feed_forward_residual = options.residual()

    def forward(
        self,
        x: Tensor,
        memory: tuple[Tensor, Tensor],
        mask: Tensor | None,
        memory_mask: Tensor | None,
        looks: list[Tensor] | None = None,
    ) -> Tensor:
        """Maps a whole target at once.

        Args:
            x: (B, T, D).
            memory: the keys and values (B, H, S, E) that `cross_attention.project` made.
            mask: causal, (T, T).
            memory_mask: (B, 1, 1, S).
            looks: collects the weights of the attention to the memory, (B, H, T, S), where given.
        """
        x = self.attention_residual(x, lambda normed: self.attention(normed, mask))
        return self._look(x, memory, memory_mask, looks)

    def step(
        self,
        x: Tensor,
        past: Tensor,
        mask: Tensor,
        position: int,
        memory: tuple[Tensor, Tensor],
        memory_mask: Tensor | None,
        looks: list[Tensor] | None = None,
    ) -> Tensor:
        """Maps one position of each of N = B * K rows.

        Args:
            x: (B, K, D), the rows by source.
            past: keys and values of the sources' rows, (2, B, H, C, E): written at the last K slots of the mask.
            mask: which slots each row may see, its own among them, (B, 1, K, U).
            position: how many tokens each row has read before.
            memory: as in `forward`, once a source.
            memory_mask: (B, 1, 1, S).
            looks: collects the weights of the attention to the memory, (B, H, K, S), where given.
        """
        x = self.attention_residual(x, lambda normed: self._extend(normed, past, mask, position))
        return self._look(x, memory, memory_mask, looks)

    def _extend(self, x: Tensor, past: Tensor, mask: Tensor, position: int) -> Tensor:
        """Attends from one position a row, x (B, K, D), to all that led to it."""
        query, key, value = self.attention.project(x, position, position + 1)  # (B, H, K, E)
        end = mask.size(3)
        past[0, :, :, end - x.size(1) : end] = key
        past[1, :, :, end - x.size(1) : end] = value
        return self.attention.attend(query, past[0, :, :, :end], past[1, :, :, :end], mask)

    def _look(
        self, x: Tensor, memory: tuple[Tensor, Tensor], memory_mask: Tensor | None, looks: list[Tensor] | None = None
    ) -> Tensor:
        """Attends to the memory, and feeds forward: x (B, T, D) to (B, T, D)."""

        def look(normed: Tensor) -> Tensor:
            if looks is not None:
                looks.append(self.cross_attention.weights(normed, memory[0], memory_mask))
            attended: Tensor = self.cross_attention(normed, memory[0], memory[1], memory_mask)
            return attended

        x = self.cross_residual(x, look)
        output: Tensor = self.feed_forward_residual(x, self.feed_forward)
        return output

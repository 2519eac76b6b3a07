"""Attention that knows how far away it looks: relative positions, for encoders of long sequences.

Letters: B batch, S length, D model width, H heads, E = D / H width of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import ConfigError
from core.layers.attention import SelfAttention, attention_weights, merge_heads, split_heads
from core.layers.positions import NoPositions, SinusoidalPositions, SinusoidTable
from core.layers.transformer import LayerOptions

FramePositions = Literal["sinusoidal", "rotary", "relative", "none"]


@dataclass(frozen=True)
class FrameLayerOptions(LayerOptions):
    """What all layers of an encoder of frames share: its attention may have relative positions too."""

    relative: bool

    def self_attention(self) -> SelfAttention:
        """Makes a layer's attention to its own sequence."""
        if self.relative:
            return RelativeSelfAttention(self.d_model, self.num_heads, self.attention_dropout)
        return super().self_attention()


class RelativeSelfAttention(SelfAttention):
    """Self-attention with the relative positions of Transformer-XL (Dai et al. 2019, section 3.3).

    Position i weighs position j by (q_i + u) . k_j + (q_i + v) . W r(i - j), where r(n) is the sinusoid of distance n
    and u and v are learned for each head. There is no longest length.

    Args:
        d_model: width D, an even number.
        num_heads: H, a divisor of D.
        dropout: of the weights.

    Raises:
        ConfigError: num_heads doesn't divide d_model, or an odd width.
    """

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, initial_size: int = 256) -> None:
        super().__init__(d_model, num_heads, dropout)
        if d_model % 2:
            raise ConfigError(f"relative positions need an even d_model (sine and cosine share it), got {d_model}")
        self.distance = nn.Linear(d_model, d_model, bias=False)
        nn.init.xavier_uniform_(self.distance.weight)
        self.content_bias = nn.Parameter(torch.zeros(num_heads, 1, d_model // num_heads))  # u
        self.distance_bias = nn.Parameter(torch.zeros(num_heads, 1, d_model // num_heads))  # v
        self.sinusoids = SinusoidTable(d_model, initial_size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Attends from x (B, S, D) to itself: (B, S, D)."""
        query, key, value = self.project(x)
        distances = split_heads(self.distance(self.distances(x)).unsqueeze(0), self.num_heads)
        bias = by_position((query + self.distance_bias.to(query.dtype)) @ distances.transpose(-2, -1))
        weights = attention_weights(query + self.content_bias.to(query.dtype), key, mask, bias)
        output: Tensor = self.output(merge_heads(self.dropout(weights.to(value.dtype)) @ value))
        return output

    def distances(self, x: Tensor) -> Tensor:
        """The sinusoids of the distances S - 1 to 1 - S between the places of x (B, S, D): (2 * S - 1, D)."""
        table = self.sinusoids.rows(0, x.size(1), x)
        signs = table.new_tensor([-1.0, 1.0]).repeat(x.size(2) // 2)  # a sine is odd, a cosine even
        return torch.cat([table.flip(0), table[1:] * signs])


def by_position(scores: Tensor) -> Tensor:
    """Turns scores by distance, S - 1 to 1 - S, into scores by position: (B, H, S, 2 * S - 1) to (B, H, S, S).

    Row i begins S - 1 - i further on than its first distance (Dai et al. 2019, appendix B): one element of padding
    makes that a matter of the shape.
    """
    size = scores.size(2)
    turned = F.pad(scores, (1, 0)).flatten(2)[..., size:].view(*scores.shape)
    return turned[..., :size]


def make_frame_positions(kind: FramePositions, d_model: int) -> nn.Module:
    """Makes what is added to the states of frames; rotary and relative positions are the attention's matter.

    Raises:
        ConfigError: an unknown kind, or a width that doesn't fit.
    """
    if kind == "sinusoidal":
        return SinusoidalPositions(d_model)
    if kind in ("rotary", "relative", "none"):
        return NoPositions()
    raise ConfigError(f"positions must be sinusoidal, rotary, relative or none, got {kind!r}")

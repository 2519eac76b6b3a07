"""Token embeddings as a Transformer wants them."""

from __future__ import annotations

import math

from torch import Tensor, nn

from core.layers.dropout import Dropout
from core.layers.positions import Positions, make_positions


class TokenEmbedding(nn.Module):
    """Embeds tokens and tells where they stand (Vaswani et al. 2017, sections 3.4 and 3.5).

    Args:
        vocab_size: number of types V.
        d_model: width D.
        dropout: of the sum of embedding and position.
        positions: how the order is told.
        max_positions: how many learned positions there are; the others have no end.
        scale: multiply the embeddings, drawn from N(0, 1/D), by sqrt(D).
        part: the name of the configuration's part, for messages.

    Raises:
        ConfigError: positions that don't fit the width.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        dropout: float,
        positions: Positions,
        max_positions: int,
        scale: bool,
        part: str,
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(vocab_size, d_model)
        nn.init.normal_(self.table.weight, std=d_model**-0.5)
        self.scale = math.sqrt(d_model) if scale else 1.0
        self.positions = make_positions(positions, d_model, max_positions, f"{part}.max_positions")
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor, offset: int = 0) -> Tensor:
        """Embeds tokens (B, T) that stand at the positions from `offset` on: (B, T, D)."""
        embedded: Tensor = self.dropout(self.positions(self.table(tokens) * self.scale, offset))
        return embedded

"""From the grid of features of an image's backbone to the states that a decoder attends to.

Letters: B batch, R rows and C columns of the grid, S = R * C, F features of a cell, D model width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.layers.dropout import Dropout
from core.layers.transformer import EncoderLayer, LayerOptions


@dataclass(frozen=True)
class ProjectionOptions:
    """What is trained between a backbone and the decoder.

    Attributes:
        positions: add a learned vector for the cell's row and one for its column.
        num_layers: Transformer layers over the cells; 0 for none.
        num_heads: heads of their attention; they share the width.
        ffn_size: width between the two maps of their feed-forward part.
        dropout: of the states, and of each sublayer's output.

    Raises:
        ConfigError: a negative number of layers.
    """

    positions: bool = True
    num_layers: int = 0
    num_heads: int = 4
    ffn_size: int = 1024
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.num_layers < 0:
            raise ConfigError(f"model.encoder.projection.num_layers must be at least 0, got {self.num_layers}")

    def layers(self, d_model: int) -> list[EncoderLayer]:
        """Makes the Transformer layers, pre-norm."""
        options = LayerOptions(
            d_model=d_model,
            num_heads=self.num_heads,
            ffn_size=self.ffn_size,
            dropout=self.dropout,
            attention_dropout=0.0,
            activation_dropout=0.0,
            activation="relu",
            norm="pre",
            rotary=False,
        )
        return [EncoderLayer(options) for _ in range(self.num_layers)]


class GridPositions(nn.Module):
    """Adds a learned vector of the cell's row and one of its column (Carion et al. 2020, appendix A.4)."""

    def __init__(self, d_model: int, rows: int, columns: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.empty(rows, 1, d_model))
        self.columns = nn.Parameter(torch.empty(columns, d_model))
        for table in (self.rows, self.columns):
            nn.init.normal_(table, std=d_model**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Adds the positions to cells x (B, S, D), row by row."""
        return x + (self.rows + self.columns).flatten(0, 1).to(x.dtype)


class GridProjection(nn.Module):
    """Maps features to the model's width: a linear map, layer norm, positions, dropout, and layers where wanted."""

    def __init__(self, n_features: int, d_model: int, grid: tuple[int, int], options: ProjectionOptions) -> None:
        super().__init__()
        self.linear = nn.Linear(n_features, d_model)
        self.norm = nn.LayerNorm(d_model)
        self.positions = GridPositions(d_model, *grid) if options.positions else nn.Identity()
        self.dropout = Dropout(options.dropout)
        self.layers = nn.ModuleList(options.layers(d_model))
        self.last_norm = nn.LayerNorm(d_model) if options.num_layers else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        """Projects features (B, S, F): (B, S, D)."""
        x = self.dropout(self.positions(self.norm(self.linear(features))))
        for layer in self.layers:
            x = layer(x, None)
        states: Tensor = self.last_norm(x)
        return states

"""A recurrent reader: it reads the context with the question in mind.

Letters: B batch, S source length, D model width.
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor, nn

from core.batch import Source, TextBatch
from core.encoders.base import Encoder, Memory
from core.errors import ConfigError
from core.layers.dropout import Dropout
from core.layers.padded_recurrent import PaddedRecurrence
from core.layers.recurrent import Cell
from core.masks import length_mask


class AttentiveEncoder(Encoder):
    """Encodes each token beside what the question says about it, twice.

    First by its embedding: the question's embeddings, weighted by how near they are (Chen et al. 2017, section 3.2,
    "aligned question embedding"), and whether the token itself is in the question ("exact match"). Then by what a
    recurrence in both directions made of both: the question's states, weighted likewise, beside the token's and
    multiplied with it (Seo et al. 2017, equations 2 and 4, without the attention from the question to the context).
    A second recurrence reads the result. Question and context go through the same recurrences, in one sequence.

    Args:
        vocab_size: number of the source's types.
        d_model: width D of the states; the two directions share it.
        cell: the kind of cell.
        num_layers: layers of the second recurrence.
        embedding_size: width of the embeddings; D where it is None.
        dropout: before each recurrence.

    Raises:
        ConfigError: an odd width, or no layer.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 128,
        cell: Cell = "lstm",
        num_layers: int = 1,
        embedding_size: int | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if d_model % 2:
            raise ConfigError(f"model.encoder.d_model must be even (two directions share it), got {d_model}")
        if num_layers < 1:
            raise ConfigError(f"model.encoder.num_layers must be at least 1, got {num_layers}")
        width = embedding_size or d_model
        self.d_model = d_model
        self.embed = nn.Embedding(vocab_size, width)
        self.near = nn.Linear(width, d_model)
        self.match = nn.Parameter(torch.zeros(2, width))  # what is added to a token that is in the question, or isn't
        self.first = PaddedRecurrence(cell, 2 * width, d_model // 2)
        self.attend = nn.Linear(d_model, d_model, bias=False)
        self.merge = nn.Linear(3 * d_model, d_model)
        self.second = nn.ModuleList(PaddedRecurrence(cell, d_model, d_model // 2) for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)

    @property
    def embedding(self) -> nn.Embedding:
        """The source's token embeddings (V, E)."""
        return self.embed

    def forward(self, source: Source) -> Memory:
        """Encodes token ids (B, S) whose parts are marked: states (B, S, D).

        Raises:
            ConfigError: the parts aren't marked.
        """
        if not isinstance(source, TextBatch) or source.segments is None:
            raise ConfigError("AttentiveEncoder reads a question and a context: take tasks.qa's data")
        there = length_mask(source.lengths, source.values.size(1))
        asked = there & (source.segments.cumsum(1) == 0)  # all before the context
        tokens = source.values.masked_fill(~there, 0)
        x = self.embed(tokens)
        near = torch.relu(self.near(x))
        aligned = weighted(near, near, x, asked)
        x = x + self.match[self._matches(tokens, asked).long()]
        states, _ = self.first(self.dropout(torch.cat([x, aligned], 2)), source.lengths)
        told = weighted(self.attend(states), states, states, asked)
        x = torch.relu(self.merge(torch.cat([states, told, states * told], 2)))
        for layer in self.second:
            x = x + layer(self.dropout(x), source.lengths)[0]
        return Memory(self.norm(x).masked_fill(~there.unsqueeze(2), 0.0), source.lengths)

    def _matches(self, tokens: Tensor, asked: Tensor) -> Tensor:
        """Marks the tokens that are in the question: (B, S)."""
        width = int(asked.sum(1).max())  # questions come first: the others' columns needn't be looked at
        same = tokens.unsqueeze(2) == tokens[:, None, :width]
        return (same & asked[:, None, :width]).any(2)


def weighted(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Sums up values (B, S, E) for each query by its product with their keys, both (B, S, D), where the mask is True.

    Only the columns up to the last True of any row are looked at, which for questions is a small part of them.
    """
    width = int(mask.any(0).nonzero().max()) + 1
    scale = queries.size(2) ** -0.5
    scores = (queries @ keys[:, :width].transpose(1, 2)) * scale
    shares = scores.float().masked_fill(~mask[:, None, :width], -inf).softmax(2)
    summed: Tensor = shares.to(values.dtype) @ values[:, :width]
    return summed

"""Readouts make the features for the head from a recurrent decoder's state and what it attended to.

Letters: D state width, M memory width, E width of the embeddings. All take inputs of any leading shape.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PlainReadout(nn.Module):
    """The state itself, for a decoder without attention."""

    def forward(self, states: Tensor, context: Tensor | None, embedded: Tensor) -> Tensor:
        """Returns the states (..., D)."""
        return states


class AttentionalReadout(nn.Module):
    """The attentional vector tanh(W [c; h]) of context and state (Luong et al. 2015, equation 5)."""

    def __init__(self, d_model: int, memory_size: int) -> None:
        super().__init__()
        self.combine = nn.Linear(memory_size + d_model, d_model, bias=False)

    def forward(self, states: Tensor, context: Tensor, embedded: Tensor | None) -> Tensor:
        """Combines states (..., D) and contexts (..., M): (..., D)."""
        return torch.tanh(self.combine(torch.cat([context, states.to(context.dtype)], -1)))


class DeepReadout(nn.Module):
    """Maxout over pairs of U h + V e + C c (Goodfellow et al. 2013; Bahdanau et al. 2014, appendix A.2.2).

    Reads the state after the token rather than before it: equation 4 of the paper, where its appendix differs.
    """

    def __init__(self, d_model: int, memory_size: int, embedding_size: int) -> None:
        super().__init__()
        self.combine = nn.Linear(d_model + embedding_size + memory_size, 2 * d_model)

    def forward(self, states: Tensor, context: Tensor, embedded: Tensor) -> Tensor:
        """Combines states (..., D), contexts (..., M) and embeddings of the tokens read (..., E): (..., D)."""
        parts = [part.to(context.dtype) for part in (states, embedded, context)]
        pairs: Tensor = self.combine(torch.cat(parts, -1))
        return torch.maximum(*pairs.chunk(2, -1))

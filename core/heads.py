"""Heads turn a decoder's features into scores.

Letters: D feature width, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor, nn

from core.errors import ConfigError


class VocabularyHead(nn.Module):
    """Scores every type of the vocabulary: features (..., D) to logits (..., V).

    Args:
        d_model: the width D of the features.
        vocab_size: the number of types V.
        tied: a table of embeddings (V, D) whose weights are the head's too (Press & Wolf 2017); None for its own.
        bias: add a learned score to each type.

    Raises:
        ConfigError: the tied table isn't (vocab_size, d_model).
    """

    def __init__(self, d_model: int, vocab_size: int, tied: nn.Embedding | None = None, bias: bool = True) -> None:
        super().__init__()
        self.projection = nn.Linear(d_model, vocab_size, bias=bias)
        if bias:
            nn.init.zeros_(self.projection.bias)
        if tied is not None:
            check_tied(tied, d_model, vocab_size)
            self.projection.weight = tied.weight

    def forward(self, features: Tensor) -> Tensor:
        """Scores features (..., D): logits (..., V)."""
        logits: Tensor = self.projection(features)
        return logits


class CtcHead(nn.Module):
    """Scores every type of the vocabulary and the blank at each state of a memory (Graves et al. 2006, section 3).

    The blank is the padding's id, which is never a target: the labels keep the ids that the decoder has for them.

    Args:
        d_model: the width D of the memory's states.
        vocab_size: the target's number of types V.
    """

    def __init__(self, d_model: int, vocab_size: int) -> None:
        super().__init__()
        self.projection = nn.Linear(d_model, vocab_size)
        nn.init.zeros_(self.projection.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Scores states (..., D): logits (..., V)."""
        logits: Tensor = self.projection(states)
        return logits


class SpanHead(nn.Module):
    """Scores each state of a memory as an answer's first and last token (Devlin et al. 2019, section 4.2).

    Args:
        d_model: the width D of the memory's states.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.projection = nn.Linear(d_model, 2)
        nn.init.zeros_(self.projection.bias)

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Scores states (B, S, D): two tensors (B, S)."""
        start, end = self.projection(states).unbind(-1)
        return start, end


def check_tied(tied: nn.Embedding, d_model: int, vocab_size: int) -> None:
    """Raises ConfigError where a table of embeddings can't be the weights of a head, naming both sizes."""
    if tied.embedding_dim != d_model:
        raise ConfigError(
            f"a head for features of width {d_model} can't be tied with embeddings of width {tied.embedding_dim}: "
            f"make the two widths equal, or don't tie them"
        )
    if tied.num_embeddings != vocab_size:
        raise ConfigError(
            f"a head for {vocab_size} types can't be tied with embeddings of {tied.num_embeddings} types: "
            f"use one vocabulary for both, or don't tie them"
        )

"""Decoders score the next token, given the tokens before it and a memory.

Letters: B sources, K rows (beams) a source, N = B * K rows, S memory length, T target length, D width, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor, nn

from core.encoders.base import Encoder, Memory
from core.heads import CopyHead
from core.layers.copying import Copyable, copyable
from core.tokenization.base import Specials


class DecoderState(ABC):
    """What a decoder remembers between two steps of N = B * K rows: its own past, and its view of B memories.

    Rows are grouped by source: rows b * K to b * K + K - 1 belong to source b. What depends on the source alone
    (projected keys and values, masks) is kept once a source, never once a row.
    """

    @abstractmethod
    def reorder(self, rows: Tensor, sources: Tensor | None = None) -> DecoderState:
        """Goes on with other rows: chosen beams, more beams, or fewer sources.

        The state that it is called on must not be used afterwards: its buffers may be reused.

        Args:
            rows: (N',) int64, the old row that each new row continues; grouped by the sources that are kept.
            sources: (B',) int64, the sources that are kept, in order; None keeps all of them.
        """


class Decoder(nn.Module, ABC):
    """Scores target tokens against a memory.

    The first two arguments of every subclass's constructor are `vocab_size`, the target's number of types, and
    `memory_size`, the width of the memory that it will be given; all else is an option with a default.

    Subclasses keep the contract that `tests.contracts.decoder.DecoderContract` tests: `forward` equals repeated
    `step` to 1e-5, and no row depends on another.

    Attributes:
        d_model: the width D of the decoder's features.
        memory_size: the width of the memory that it reads.
        head: maps features (..., D) to logits (..., V); a `CopyHead` reads where the decoder looks beside them.
        embedding: the target's token embeddings (V, D).
    """

    d_model: int
    memory_size: int
    head: nn.Module
    embedding: nn.Embedding

    @abstractmethod
    def features(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Reads a whole target at once: input tokens (B, T), begin token first, to features (B, T, D) for the head.

        Padding at the end of a row is harmless: features never depend on later tokens.
        """

    def read(self, tokens: Tensor, memory: Memory) -> tuple[Tensor, Tensor | None]:
        """Features as of `features`, and the attention weights (B, T, S) that a decoder copies by.

        Weights may be given where nothing is copied, and are None where there is no attention. What they are for a
        source of no length doesn't matter.
        """
        return self.features(tokens, memory), None

    def forward(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Scores a whole target at once, teacher-forced: input tokens (B, T) to logits (B, T, V).

        A decoder that copies gives log-probabilities (B, T, V + X) of the memory's X extra types too.
        """
        if not self.copies:
            logits: Tensor = self.head(self.features(tokens, memory))
            return logits
        features, weights = self.read(tokens, memory)
        return self.score(features, weights, self.copyable(memory))

    def score_at(self, tokens: Tensor, memory: Memory, where: Tensor) -> Tensor:
        """Scores as `forward`, at N places alone: input tokens (B, T) and a boolean (B, T) to (N, V)."""
        if self.copies:
            return self.forward(tokens, memory)[where]
        logits: Tensor = self.head(self.features(tokens, memory)[where])
        return logits

    @property
    def copies(self) -> bool:
        """Tells whether it copies tokens of the source."""
        return isinstance(self.head, CopyHead)

    def copyable(self, memory: Memory) -> Copyable | None:
        """What of a memory may be copied; None where nothing is.

        Raises:
            ConfigError: it copies, but the memory has no tokens.
        """
        return copyable(memory, self.embedding.num_embeddings) if self.copies else None

    def score(self, features: Tensor, weights: Tensor | None, sources: Copyable | None) -> Tensor:
        """Scores features (B, T, D) that were made with weights (B, T, S), T steps or rows a source: (B, T, V + X)."""
        if sources is None:
            logits: Tensor = self.head(features)
            return logits
        assert weights is not None
        log_probs: Tensor = self.head(features, weights, sources)
        return log_probs

    def known(self, tokens: Tensor) -> Tensor:
        """Makes input tokens of any shape ones that have an embedding: a source's own word is read as unknown."""
        if not self.copies:
            return tokens
        return tokens.masked_fill(tokens >= self.embedding.num_embeddings, Specials().unk)

    @abstractmethod
    def start(self, memory: Memory) -> DecoderState:
        """Begins decoding with one row a source (K = 1); `reorder` makes more of them."""

    @abstractmethod
    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Reads one token a row: tokens (N,) to the logits of the next (N, V) and the state after it.

        The logits are the caller's, who may write into them. The state that was passed in must not be used
        afterwards: its buffers may be reused.
        """

    def attention(self, tokens: Tensor, memory: Memory) -> Tensor | None:
        """Where the decoder looks while it reads: tokens (B, T) to weights (B, L, T, S) by layer, heads averaged.

        Each row sums to one over S and is zero beyond the memory's length. None for a decoder without attention.
        """
        return None

    def portable_options(self) -> dict[str, Any]:
        """Options that a checkpoint needs beside those that were given, as of `Encoder.portable_options`."""
        return {}

    def share(self, encoder: Encoder) -> None:
        """Shares with the encoder that it will be used with what both have in common; most have nothing."""

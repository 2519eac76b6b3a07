"""The Transformer decoder, with caches of keys and values for writing one token after the other.

Letters: B sources, K rows a source, N = B * K rows, S memory length, T target length, D model width, V vocabulary,
L layers, H heads, E width of a head, C capacity of the caches, U slots of them in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.decoders.base import Decoder, DecoderState
from core.encoders.base import Memory
from core.heads import CopyHead, VocabularyHead
from core.layers.copying import Copyable
from core.layers.embedding import TokenEmbedding
from core.layers.feed_forward import Activation
from core.layers.positions import Positions
from core.layers.transformer import DecoderLayer, LayerOptions, Norm
from core.masks import causal_mask

INITIAL_CAPACITY = 32


@dataclass(frozen=True)
class TransformerState(DecoderState):
    """Keys and values of what was written and of what is read.

    The rows of a source are branches of a tree: each step adds one slot a row to the source's keys and values, and a
    row attends to those slots that lead to it. So beams are exchanged by exchanging rows of a mask; keys and values
    stay where they are, and what beams have in common is there once.

    Attributes:
        past: keys and values, (L, 2, B, H, C, E); the first U slots are in use.
        ancestry: True where a slot is a row's own or its ancestor's, (B, K, U).
        position: tokens read so far.
        memory: the sources' keys and values, (L, 2, B, H, S, E).
        memory_mask: True where a memory's state is its source's own, (B, 1, 1, S).
        sources: what may be copied; None for a decoder that doesn't copy.
    """

    past: Tensor
    ancestry: Tensor
    position: int
    memory: Tensor
    memory_mask: Tensor
    sources: Copyable | None = None

    def reorder(self, rows: Tensor, sources: Tensor | None = None) -> TransformerState:
        """Exchanges rows of the mask; copies keys and values only where sources are dropped."""
        batch, beams, used = self.ancestry.shape
        kept = batch if sources is None else sources.numel()
        ancestry = self.ancestry.view(batch * beams, used)[rows].view(kept, rows.numel() // max(kept, 1), used)
        if sources is None or is_identity(sources, batch):
            return replace(self, ancestry=ancestry)
        past, ancestry = self._rebuild(sources, ancestry)
        memory, memory_mask = self.memory.index_select(2, sources), self.memory_mask.index_select(0, sources)
        copyable = None if self.sources is None else self.sources.select(sources)
        return TransformerState(past, ancestry, self.position, memory, memory_mask, copyable)

    def with_room(self) -> TransformerState:
        """Returns a state with room for one more slot a row: without dead slots, twice as large, where it is full."""
        batch, beams, used = self.ancestry.shape
        if used + beams <= self.past.size(4):
            return self
        past, ancestry = self._rebuild(torch.arange(batch, device=self.past.device), self.ancestry)
        return replace(self, past=past, ancestry=ancestry)

    def _rebuild(self, sources: Tensor, ancestry: Tensor) -> tuple[Tensor, Tensor]:
        """Copies what the ancestry (B', K, U) of those sources (B',) needs of the past: both anew, slots closed up."""
        layers, two, batch, heads, capacity, size = self.past.shape
        alive = ancestry.any(1)  # (B', U)
        count = int(alive.sum(1).max()) if alive.numel() else 0
        slots = alive.byte().argsort(dim=1, descending=True, stable=True)[
            :, :count
        ]  # (B', U'), the living in their order
        numbers = torch.arange(layers * two * batch * heads, device=slots.device).view(layers * two, batch, heads)
        index = numbers[:, sources].unsqueeze(3) * capacity + slots.unsqueeze(1)  # (L * 2, B', H, U')
        past = self.past.new_empty(layers, two, len(sources), heads, 2 * (count + ancestry.size(1)), size)
        # Whole vectors are moved: 72,000 of 32 numbers take 0.4 ms, and 3 to 7 if they are indexed by brackets.
        moved = self.past.view(-1, size).index_select(0, index.flatten())
        past[..., :count, :] = moved.view(*past.shape[:4], count, size)
        return past, ancestry.gather(2, slots.unsqueeze(1).expand(-1, ancestry.size(1), -1))


def is_identity(index: Tensor, size: int) -> bool:
    """Tells whether an index (N,) keeps everything where it is."""
    return index.numel() == size and torch.equal(index, torch.arange(size, device=index.device))


class TransformerDecoder(Decoder):
    """Writes tokens by attention to what it wrote and to a memory (Vaswani et al. 2017, section 3.1).

    Args:
        vocab_size: number of the target's types V.
        memory_size: width of the memory's states; may differ from d_model.
        d_model: width D.
        num_layers: L.
        num_heads: heads H of each attention; they share the width.
        ffn_size: width between the two maps of the feed-forward part.
        dropout: of each sublayer's output and of the embeddings.
        attention_dropout: of the attention's weights.
        activation_dropout: within the feed-forward part.
        activation: within the feed-forward part.
        norm: before each sublayer, with one more at the end ("pre"), or after each residual as in the paper ("post").
        positions: how the order of the tokens is told.
        max_positions: the longest target that learned positions allow.
        scale_embedding: multiply the embeddings by sqrt(D).
        tie: the head's weights are the target's embeddings (Press & Wolf 2017). It has no bias, as in the paper's code.
        copy: copy tokens of the source by the last layer's attention to it, the mean of its heads (`CopyHead`).

    Raises:
        ConfigError: num_heads doesn't divide d_model, an odd width with positions that need an even one.
    """

    def __init__(
        self,
        vocab_size: int,
        memory_size: int,
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
        tie: bool = True,
        copy: bool = False,
    ) -> None:
        super().__init__()
        self.d_model, self.memory_size = d_model, memory_size
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
            vocab_size, d_model, dropout, positions, max_positions, scale_embedding, "model.decoder"
        )
        self.layers = nn.ModuleList(DecoderLayer(options, memory_size) for _ in range(num_layers))
        self.norm = nn.LayerNorm(d_model) if norm == "pre" else nn.Identity()
        head = VocabularyHead(d_model, vocab_size, tied=self.embed.table if tie else None, bias=False)
        self.head = CopyHead(head) if copy else head

    @property
    def embedding(self) -> nn.Embedding:  # type: ignore[override]  # the base declares it writable; a module may own it
        """The target's token embeddings (V, D)."""
        return self.embed.table

    def features(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Reads input tokens (B, T) at once: (B, T, D)."""
        return self._read(tokens, memory, self._unseen())

    def read(self, tokens: Tensor, memory: Memory) -> tuple[Tensor, Tensor | None]:
        """Reads input tokens (B, T): features (B, T, D), and weights (B, T, S) where it copies."""
        if not self.copies:
            return self.features(tokens, memory), None
        looks: list[Tensor] = []
        features = self._read(tokens, memory, [*self._unseen()[1:], looks])
        return features, looks[0].mean(1)

    def attention(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Where the decoder looks while it reads: tokens (B, T) to weights (B, L, T, S) by layer, heads averaged."""
        looks: list[Tensor] = []
        self._read(tokens, memory, [looks for _ in self.layers])
        return torch.stack([weights.mean(1) for weights in looks], dim=1)

    def _read(self, tokens: Tensor, memory: Memory, looks: Sequence[list[Tensor] | None]) -> Tensor:
        """Reads input tokens (B, T): (B, T, D); each layer's weights go into the list that is given for it."""
        mask = causal_mask(tokens.size(1), tokens.device)
        memory_mask = memory.mask[:, None, None]
        x = self.embed(self.known(tokens))
        for layer, look in zip(self._layers(), looks, strict=True):
            x = layer(x, layer.cross_attention.project(memory.states), mask, memory_mask, look)
        features: Tensor = self.norm(x)
        return features

    def _unseen(self) -> list[list[Tensor] | None]:
        return [None for _ in self.layers]

    def _layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]

    def start(self, memory: Memory) -> TransformerState:
        """Projects the memory once for all steps."""
        projected = [torch.stack(layer.cross_attention.project(memory.states)) for layer in self._layers()]
        keys = torch.stack(projected)  # (L, 2, B, H, S, E)
        layers, two, batch, heads, _, size = keys.shape
        past = keys.new_empty(layers, two, batch, heads, INITIAL_CAPACITY, size)
        ancestry = torch.zeros(batch, 1, 0, dtype=torch.bool, device=keys.device)
        return TransformerState(past, ancestry, 0, keys, memory.mask[:, None, None], self.copyable(memory))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, TransformerState]:
        """Reads one token a row: tokens (N,) to logits (N, V)."""
        assert isinstance(state, TransformerState)
        state = state.with_room()
        batch, beams, _ = state.ancestry.shape
        own = torch.eye(beams, dtype=torch.bool, device=tokens.device).expand(batch, -1, -1)
        ancestry = torch.cat([state.ancestry, own], dim=2)  # (B, K, U + K)
        x = self.embed(self.known(tokens).unsqueeze(1), state.position).view(batch, beams, self.d_model)
        looks: list[Tensor] = []
        collect = [*self._unseen()[1:], looks if self.copies else None]
        for index, (layer, look) in enumerate(zip(self._layers(), collect, strict=True)):
            keys, values = state.memory[index]
            mask = ancestry.unsqueeze(1)
            x = layer.step(x, state.past[index], mask, state.position, (keys, values), state.memory_mask, look)
        logits = self.score(self.norm(x), looks[0].mean(1) if looks else None, state.sources).flatten(0, 1)
        return logits, replace(state, ancestry=ancestry, position=state.position + 1)

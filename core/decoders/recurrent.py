"""The recurrent decoder: without attention, or with that of Bahdanau or of Luong.

Letters: B sources, K rows a source, N = B * K rows, S memory length, T target length, D width, M memory width, E width
of the embeddings, V vocabulary, G width of the first layer's gates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from core.decoders.base import Decoder, DecoderState
from core.encoders.base import Memory
from core.errors import ConfigError
from core.heads import CopyHead, VocabularyHead
from core.layers.alignment import ALIGNMENTS, Alignment, Attendable, Attended
from core.layers.bridge import Bridge, BridgeKind
from core.layers.copying import Copyable
from core.layers.coverage import CoverageAlignment
from core.layers.dropout import Dropout
from core.layers.location import LocationAlignment, LocationOptions
from core.layers.readout import AttentionalReadout, DeepReadout, PlainReadout
from core.layers.recurrent import Cell, Hidden, RecurrentStack
from core.layers.recurrent_init import Init, initialise

Attention = Literal["none", "additive", "dot", "general", "location", "coverage"]
Order = Literal["luong", "bahdanau"]


@dataclass(frozen=True)
class RecurrentState(DecoderState):
    """What the rows have read, and the sources that they look at.

    Attributes:
        hidden: the states of each layer, (N, D).
        memory: what the rows attend to, once a source; None without attention.
        fed: with input feeding, the last attentional vector (N, D).
        past: with `attention: location` or `coverage`, where the rows have looked (N, S).
        sources: what may be copied; None for a decoder that doesn't copy.
    """

    hidden: Hidden
    memory: Attendable | None
    fed: Tensor | None
    past: Tensor | None
    sources: Copyable | None = None

    def reorder(self, rows: Tensor, sources: Tensor | None = None) -> RecurrentState:
        """Copies the rows' states; the memories only where sources were dropped."""
        hidden = tuple(tuple(part[rows] for part in state) for state in self.hidden)
        memory = self.memory if self.memory is None or sources is None else self.memory.select(sources)
        fed, past = (None if part is None else part[rows] for part in (self.fed, self.past))
        copyable = self.sources if self.sources is None or sources is None else self.sources.select(sources)
        return RecurrentState(hidden, memory, fed, past, copyable)


class RecurrentDecoder(Decoder):
    """Writes tokens by a recurrence over what it wrote.

    The papers' decoders are options of it:

    - Sutskever et al. 2014: `attention: none`, `bridge: copy`: all it knows of the source is its first state.
    - Bahdanau et al. 2014: `attention: additive`, `order: bahdanau`, `bridge: backward`: the previous state chooses a
      context that enters the recurrence (appendix A.2.2); a maxout layer reads state, context and previous embedding.
    - Luong et al. 2015: `attention: dot` or `general`, `order: luong`: the current state chooses a context, and both
      make an attentional vector tanh(W [c; h]) (equation 5), which with `input_feeding` is read with the next token
      (section 3.3).
    - Chorowski et al. 2015: `attention: location`, `order: bahdanau`: scores that know where it looked before, for
      speech.
    - Xu et al. 2015 (Show, Attend and Tell, soft attention): `cell: lstm`, `attention: additive`, `order: bahdanau`,
      `context_gate: true`; `bridge: project` makes the first states of the grid's mean. `core.doubly_stochastic` is
      its objective.
    - See et al. 2017: `cell: lstm`, `attention: coverage`, `order: luong`, `input_feeding: true`, `copy: true`, and the
      objective's coverage loss.

    Where nothing that attention found enters the recurrence, `features` reads the whole target at once; else it goes
    step by step, with all that doesn't depend on the step done before or after the loop.

    Args:
        vocab_size: number of the target's types V.
        memory_size: width M of the memory's states.
        d_model: width D of all layers and of the features.
        cell: the kind of cell.
        num_layers: recurrent layers.
        attention: how states are compared with the memory; "none" for no attention.
        order: attention with the current state, after the recurrence ("luong"), or with the previous one, before it.
        input_feeding: Luong's; with `order: luong` only.
        bridge: where the first state comes from; see `core.layers.bridge.Bridge`.
        embedding_size: width E of the embeddings; D where it is None.
        dropout: of the embeddings, between layers, and of the features.
        residual: add each layer's input to its output, from the second layer on.
        tie: the head's weights are the target's embeddings (Press & Wolf 2017).
        location: options of `attention: location`.
        init: how the weights begin; see `core.layers.recurrent_init.initialise`.
        forget_bias: added to the bias of an LSTM's forget gates.
        context_gate: scale each context by sigmoid(w . h + b) of the state that chose it, a number that says how much
            the next token needs the source (Xu et al. 2015, section 4.2.1); with `order: bahdanau` only.

        copy: copy tokens of the source by the attention to it (`CopyHead`).

    Raises:
        ConfigError: options that contradict each other, or widths that don't fit.
    """

    def __init__(
        self,
        vocab_size: int,
        memory_size: int,
        d_model: int = 256,
        cell: Cell = "gru",
        num_layers: int = 1,
        attention: Attention = "general",
        order: Order = "luong",
        input_feeding: bool = False,
        bridge: BridgeKind = "project",
        embedding_size: int | None = None,
        dropout: float = 0.2,
        residual: bool = False,
        tie: bool = False,
        location: LocationOptions = LocationOptions(),  # noqa: B008 (frozen)
        init: Init = "glorot",
        forget_bias: float = 1.0,
        context_gate: bool = False,
        copy: bool = False,
    ) -> None:
        super().__init__()
        check_mechanism(attention, order, input_feeding)
        check_gate(context_gate, order)
        check_location(attention, location)
        check_copy(copy, attention)
        self.d_model, self.memory_size = d_model, memory_size
        width = embedding_size or d_model
        self.embedding = nn.Embedding(vocab_size, width)
        self.dropout = Dropout(dropout)
        self.bridge = Bridge(bridge, cell, memory_size, d_model, num_layers)
        self.stack = RecurrentStack(cell, width, d_model, num_layers, dropout, residual)
        self.alignment: Alignment | None = None
        self.readout: nn.Module = PlainReadout()
        # What attention found enters the first layer's gates by a matrix of its own beside the embedding's.
        self.feed: nn.Linear | None = None
        if attention != "none":
            self.alignment = make_alignment(attention, d_model, memory_size, location)
            self.readout = AttentionalReadout(d_model, memory_size)
        if order == "bahdanau":
            self.readout = DeepReadout(d_model, memory_size, width)
            self.feed = nn.Linear(memory_size, self.stack.gates, bias=False)
        if input_feeding:
            self.feed = nn.Linear(d_model, self.stack.gates, bias=False)
        self.gate = nn.Linear(d_model, 1) if context_gate else None
        self.looks_first, self.input_feeding = order == "bahdanau", input_feeding
        head = VocabularyHead(d_model, vocab_size, self.embedding if tie else None)
        self.head = CopyHead(head) if copy else head
        initialise(self, init, forget_bias)

    def features(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Reads a whole target: input tokens (B, T) to features (B, T, D)."""
        return self.read(tokens, memory)[0]

    def attention(self, tokens: Tensor, memory: Memory) -> Tensor | None:
        """Where it looks while it reads tokens (B, T): weights (B, 1, T, S); None without attention.

        A source of no length has weights of zero.
        """
        weights = self.read(tokens, memory)[1]
        return None if weights is None else weights.masked_fill(~memory.mask.unsqueeze(1), 0.0).unsqueeze(1)

    def start(self, memory: Memory) -> RecurrentState:
        """Begins with the bridge's state and nothing fed.

        Raises:
            ConfigError: the bridge needs last states that this encoder doesn't give.
        """
        fed = memory.states.new_zeros(len(memory.lengths), self.d_model) if self.input_feeding else None
        if self.alignment is None:
            return RecurrentState(self.bridge(memory), None, fed, None)
        attendable = self.alignment.prepare(memory)
        past = self.alignment.begin(attendable)
        return RecurrentState(self.bridge(memory), attendable, fed, past, self.copyable(memory))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, RecurrentState]:
        """Reads one token a row: tokens (N,) to logits (N, V) and the state after it."""
        assert isinstance(state, RecurrentState)
        embedded = self.dropout(self.embedding(self.known(tokens)))
        top, attended, state = self.advance(self.stack.project(embedded), state)
        features = state.fed
        if features is None:
            features = self.readout(top, None if attended is None else attended.context, embedded)
        features = self.dropout(features)
        if attended is None or state.sources is None:
            return self.head(features), state
        sources = len(state.sources.tokens)
        scores = self.score(by_source(features, sources), by_source(attended.weights, sources), state.sources)
        return scores.flatten(0, 1), state

    def read(self, tokens: Tensor, memory: Memory) -> tuple[Tensor, Tensor | None]:
        """Reads input tokens (B, T): features (B, T, D), and weights (B, T, S) where there is attention."""
        embedded = self.dropout(self.embedding(self.known(tokens)))
        state = self.start(memory)
        features, weights = self.read_at_once(embedded, state) if self.feed is None else self.read_on(embedded, state)
        return self.dropout(features), weights

    def read_at_once(self, embedded: Tensor, state: RecurrentState) -> tuple[Tensor, Tensor | None]:
        """Reads embeddings (B, T, E) all together: features (B, T, D), and weights (B, T, S)."""
        states = self.stack(embedded, state.hidden)
        if self.alignment is None or state.memory is None:
            return self.readout(states, None, embedded), None
        attended = self.alignment.follow(states, state.memory)
        return self.readout(states, attended.context, embedded), attended.weights

    def read_on(self, embedded: Tensor, state: RecurrentState) -> tuple[Tensor, Tensor]:
        """Reads embeddings (B, T, E) one after the other: features (B, T, D), and weights (B, T, S)."""
        states, contexts, weights = [], [], []
        # unbind rather than indexing: its gradient is one stack, not a padded sum of T.
        for gates in self.stack.project(embedded).unbind(1):
            top, attended, state = self.advance(gates, state)
            assert attended is not None
            states.append(top if state.fed is None else state.fed)
            contexts.append(attended.context)
            weights.append(attended.weights)
        features = torch.stack(states, 1)
        if not self.input_feeding:
            features = self.readout(features, torch.stack(contexts, 1), embedded)
        return features, torch.stack(weights, 1)

    def advance(self, gates: Tensor, state: RecurrentState) -> tuple[Tensor, Attended | None, RecurrentState]:
        """Reads one token a row.

        Args:
            gates: its embedding's part of the first layer's gates, (N, G).
            state: before it.

        Returns:
            the top's state (N, D), what the rows attended to, context (N, M) and weights (N, S), and the state after.
        """
        attended = self.attend(state.hidden[-1][0], state) if self.looks_first else None
        if self.feed is not None:
            gates = gates + self.feed(state.fed if attended is None else attended.context)
        top, hidden = self.stack.step(gates, state.hidden)
        if attended is None:
            attended = self.attend(top, state)
        fed = self.readout(top, attended.context, None) if self.input_feeding and attended is not None else None
        past = None if attended is None else attended.past
        return top, attended, RecurrentState(hidden, state.memory, fed, past, state.sources)

    def attend(self, queries: Tensor, state: RecurrentState) -> Attended | None:
        """Attends with one query a row (N, D), K of them a source: context (N, M), weights and past (N, S)."""
        if self.alignment is None or state.memory is None:
            return None
        sources = len(state.memory.values)
        past = None if state.past is None else by_source(state.past, sources)
        context, weights, past = self.alignment(by_source(queries, sources), state.memory, past)
        past = None if past is None else past.flatten(0, 1)
        context = context.flatten(0, 1)
        if self.gate is not None:
            context = self.gate(queries).sigmoid() * context
        return Attended(context, weights.flatten(0, 1), past)


def by_source(rows: Tensor, sources: int) -> Tensor:
    """Groups rows by their source: (N, X) to (B, K, X)."""
    return rows.view(sources, len(rows) // max(sources, 1), rows.size(1))


def make_alignment(attention: Attention, d_model: int, memory_size: int, location: LocationOptions) -> Alignment:
    """Makes the alignment of that name."""
    if attention == "location":
        return LocationAlignment(d_model, memory_size, location)
    if attention == "coverage":
        return CoverageAlignment(d_model, memory_size)
    assert attention != "none"
    return ALIGNMENTS[attention](d_model, memory_size)


def check_location(attention: Attention, location: LocationOptions) -> None:
    """Raises ConfigError where options are set that another attention doesn't read."""
    if attention != "location" and location != LocationOptions():
        raise ConfigError(
            f"model.decoder.location is set, but model.decoder.attention is {attention}, which doesn't read it: choose "
            f"attention: location, or leave location out"
        )


def check_gate(context_gate: bool, order: Order) -> None:
    """Raises ConfigError where a gate would have no context that enters the recurrence."""
    if context_gate and order != "bahdanau":
        raise ConfigError(
            f"model.decoder.context_gate is true, but order is {order}: it scales the context that the previous state "
            f"chose, so choose order: bahdanau, or context_gate: false"
        )


def check_copy(copy: bool, attention: Attention) -> None:
    """Raises ConfigError where there is nothing to copy by."""
    if copy and attention == "none":
        raise ConfigError(
            "model.decoder.copy is true, but model.decoder.attention is none: tokens are copied by the attention to "
            "them, so choose one, or copy: false"
        )


def check_mechanism(attention: Attention, order: Order, input_feeding: bool) -> None:
    """Raises ConfigError where the parts of an attention mechanism don't go together."""
    if attention not in ("none", *ALIGNMENTS, "location", "coverage"):
        kinds = f"none, {', '.join(ALIGNMENTS)}, location or coverage"
        raise ConfigError(f"model.decoder.attention must be {kinds}, got {attention!r}")
    if order not in ("luong", "bahdanau"):
        raise ConfigError(f"model.decoder.order must be luong or bahdanau, got {order!r}")
    if attention == "none" and (order == "bahdanau" or input_feeding):
        raise ConfigError(
            f"model.decoder.attention is none, but order is {order} and input_feeding is {input_feeding}: without "
            f"attention nothing is fed, so choose an attention, or leave order and input_feeding as they are by default"
        )
    if order == "bahdanau" and input_feeding:
        raise ConfigError(
            "model.decoder.input_feeding is true, but with order: bahdanau the context itself is fed: choose order: "
            "luong, or input_feeding: false"
        )

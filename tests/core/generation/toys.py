"""Models so small that every sequence can be listed, and the lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from core.batch import Source, TextBatch
from core.decoders.base import Decoder, DecoderState
from core.encoders.base import Encoder, Memory
from core.generation import GenerationOptions, Hypothesis
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials

SPECIALS = Specials()
WIDTH = 8


class ToyEncoder(Encoder):
    """Random vectors for tokens."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.d_model = WIDTH
        self.table = nn.Embedding(vocab_size, WIDTH)

    def forward(self, source: Source) -> Memory:
        present = torch.arange(source.values.size(1)) < source.lengths.unsqueeze(1)
        return Memory(self.table(source.values) * present.unsqueeze(2), source.lengths)


@dataclass(frozen=True)
class ToyState(DecoderState):
    hidden: Tensor  # (N, WIDTH)
    context: Tensor  # (B, WIDTH)

    def reorder(self, rows: Tensor, sources: Tensor | None = None) -> ToyState:
        context = self.context if sources is None else self.context[sources]
        assert len(rows) % len(context) == 0
        old, new = len(self.hidden) // len(self.context), len(rows) // len(context)
        kept = torch.arange(len(self.context)) if sources is None else sources
        assert torch.equal(rows // old, kept.repeat_interleave(new)), "rows must stay with their source"
        return ToyState(self.hidden[rows], context)


class ToyDecoder(Decoder):
    """A recurrence whose random weights are large: each prefix and each source has its own distribution."""

    def __init__(self, vocab_size: int, memory_size: int = WIDTH, scale: float = 2.0) -> None:
        super().__init__()
        self.d_model, self.memory_size = WIDTH, memory_size
        self.embedding = nn.Embedding(vocab_size, WIDTH)
        self.recurrence = nn.Linear(WIDTH, WIDTH)
        self.head = nn.Linear(WIDTH, vocab_size)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=scale / 2)

    def _read(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        return torch.tanh(self.recurrence(hidden) + self.embedding(tokens))

    def features(self, tokens: Tensor, memory: Memory) -> Tensor:
        hidden = tokens.new_zeros((len(tokens), WIDTH), dtype=torch.float32)
        context, features = memory.states.sum(1), []
        for column in tokens.unbind(1):
            hidden = self._read(hidden, column)
            features.append(hidden + context)
        return torch.stack(features, 1)

    def start(self, memory: Memory) -> ToyState:
        return ToyState(torch.zeros(len(memory.states), WIDTH), memory.states.sum(1))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, ToyState]:
        assert isinstance(state, ToyState)
        hidden = self._read(state.hidden, tokens)
        width = len(hidden) // len(state.context)
        logits = self.head(hidden + state.context.repeat_interleave(width, 0))
        return logits, ToyState(hidden, state.context)


class Table(Decoder):
    """Logits that depend on the last token alone: a table (V, V)."""

    def __init__(self, logits: Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.table = torch.tensor(logits)
        self.d_model, self.memory_size = len(logits), WIDTH
        self.embedding = nn.Embedding(len(logits), len(logits))
        self.head = nn.Identity()

    def features(self, tokens: Tensor, memory: Memory) -> Tensor:
        return self.table[tokens]

    def start(self, memory: Memory) -> ToyState:
        return ToyState(torch.zeros(len(memory.states), WIDTH), memory.states.sum(1))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, ToyState]:
        assert isinstance(state, ToyState)
        return self.table[tokens], ToyState(tokens.unsqueeze(1).expand(-1, WIDTH).float(), state.context)


def toy_model(vocab_size: int = 7, seed: int = 0, scale: float = 2.0) -> EncoderDecoder:
    torch.manual_seed(seed)
    return EncoderDecoder(ToyEncoder(11), ToyDecoder(vocab_size, scale=scale))


def table_model(logits: Sequence[Sequence[float]]) -> EncoderDecoder:
    torch.manual_seed(0)
    return EncoderDecoder(ToyEncoder(11), Table(logits))


def toy_source(batch: int, seed: int = 0, longest: int = 6) -> TextBatch:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (batch,), generator=generator)
    values = torch.randint(4, 11, (batch, longest), generator=generator)
    return TextBatch(values, lengths)


def alone(source: Source, index: int) -> Source:
    return source.select(torch.tensor([index]))


Rule = Callable[[tuple[int, ...]], bool]


def divisor(options: GenerationOptions, length: int) -> float:
    if options.length_penalty == "none":
        return 1.0
    return float((length if options.length_penalty == "average" else (5 + length) / 6) ** options.alpha)


@torch.inference_mode()
def log_prob(model: EncoderDecoder, source: Source, tokens: Sequence[int], finished: bool = True) -> float:
    """The log-probability of a target, teacher-forced: no step, no state, no search."""
    read = torch.tensor([[SPECIALS.bos, *tokens]])
    logits = model(source, read)[0].double().log_softmax(1)
    written = [*tokens, SPECIALS.eos] if finished else list(tokens)
    return float(sum(logits[place, token] for place, token in enumerate(written)))


@torch.inference_mode()
def exhaustive(
    model: EncoderDecoder,
    source: Source,
    options: GenerationOptions,
    rule: Rule = lambda tokens: True,
    types: int | None = None,
) -> list[Hypothesis]:
    """All finished hypotheses of one source that keep to a rule, best first, over the vocabulary or so many types."""
    vocab_size = types or model.decoder.embedding.num_embeddings
    words = [t for t in range(vocab_size) if t not in (SPECIALS.pad, SPECIALS.bos, SPECIALS.eos)]
    found = []
    for size in range(options.min_length, options.max_length + 1):
        for tokens in product(words, repeat=size):
            if rule(tokens):
                total = log_prob(model, source, tokens)
                found.append(Hypothesis(tokens, total / divisor(options, size + 1), total, True))
    return sorted(found, key=lambda hypothesis: -hypothesis.score)


def assert_same(ours: Sequence[Hypothesis], theirs: Sequence[Hypothesis]) -> None:
    """The same tokens, and scores that differ by no more than float32's rounding in another batch."""
    assert [h.tokens for h in ours] == [h.tokens for h in theirs]
    assert [h.finished for h in ours] == [h.finished for h in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert a.score == pytest.approx(b.score, rel=1e-4, abs=1e-4)
        assert a.log_prob == pytest.approx(b.log_prob, rel=1e-4, abs=1e-4)

"""Scorers judge the next token: models, ensembles, language models, bonuses, all behind one interface.

Letters: B sources, K rows a source, N = B * K rows, M candidates a row, S memory length, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, log

import torch
from torch import Tensor, nn
from typing_extensions import override

from core.batch import Source
from core.decoders.base import Decoder, DecoderState
from core.encoders.base import Memory
from core.errors import ConfigError
from core.seq2seq import EncoderDecoder


class ScorerState(ABC):
    """What a scorer remembers between two steps of N = B * K rows, grouped by source as in a decoder's state."""

    @abstractmethod
    def reorder(self, rows: Tensor, sources: Tensor | None = None) -> ScorerState:
        """Goes on with other rows; arguments and rules as of `DecoderState.reorder`."""


class Scorer(ABC):
    """Adds to the score of every next token, its weight included.

    Attributes:
        bounded: no score is above zero. Early stopping is given up where a scorer isn't.
        networks: what generation puts into evaluation mode while it runs.
    """

    bounded: bool = True
    networks: tuple[nn.Module, ...] = ()

    @abstractmethod
    def start(self, source: Source, memory: Memory) -> ScorerState:
        """Begins with one row a source.

        Args:
            source: B sources.
            memory: what the model that writes made of them, states (B, S, D).
        """

    @abstractmethod
    def step(self, tokens: Tensor, state: ScorerState, candidates: Tensor | None = None) -> tuple[Tensor, ScorerState]:
        """Reads one token a row, and scores the next.

        Args:
            tokens: (N,), the begin token first.
            state: must not be used afterwards: its buffers may be reused.
            candidates: (N, M) ids of the tokens to score; None for all.

        Returns:
            scores (N, M), or (N, V) or broadcasting to it, in natural logarithms; and the state after the token.
        """


class NoState(ScorerState):
    """The state of a scorer that remembers nothing."""

    def reorder(self, rows: Tensor, sources: Tensor | None = None) -> NoState:
        """Nothing to do."""
        return self


@dataclass(frozen=True)
class DecoderStates(ScorerState):
    """The states of one or more decoders that read the same tokens."""

    states: tuple[DecoderState, ...]

    def reorder(self, rows: Tensor, sources: Tensor | None = None) -> DecoderStates:
        """Reorders each of them."""
        return DecoderStates(tuple(state.reorder(rows, sources) for state in self.states))


class ModelScorer(Scorer):
    """One model, or the average of several models' probabilities.

    Attributes:
        vocab_size: the target's number of types V.
        weight: what the log-probabilities are multiplied by.

    Raises:
        ConfigError: no model, or models with vocabularies of different sizes.
    """

    def __init__(self, models: Sequence[EncoderDecoder], weight: float = 1.0) -> None:
        if not models:
            raise ConfigError("generation needs at least one model, got none")
        sizes = [model.decoder.embedding.num_embeddings for model in models]
        if len(set(sizes)) > 1:
            raise ConfigError(
                f"the models of an ensemble must share one vocabulary, but theirs have {sizes} types: leave out those "
                "that were trained with another tokenizer"
            )
        self.vocab_size = sizes[0]
        self.bounded = weight >= 0
        self._models, self.weight = tuple(models), _checked("weight", weight)
        self.networks = self._models

    @override
    def start(self, source: Source, memory: Memory) -> DecoderStates:
        return self.begin(source, self._models[0].encode(source))

    def begin(self, source: Source, memory: Memory) -> DecoderStates:
        """Starts, where the memory is the first model's own: the other models read the source themselves."""
        memories = [memory, *(model.encode(source) for model in self._models[1:])]
        states = (model.decoder.start(each) for model, each in zip(self._models, memories, strict=True))
        return DecoderStates(tuple(states))

    def logits(self, tokens: Tensor, state: ScorerState) -> tuple[Tensor, ScorerState]:
        """Reads one token a row: float32 scores (N, V) that lack only a constant a row to be log-probabilities."""
        assert isinstance(state, DecoderStates)
        steps = [model.decoder.step(tokens, own) for model, own in zip(self._models, state.states, strict=True)]
        after = DecoderStates(tuple(own for _, own in steps))
        if len(steps) == 1:
            return steps[0][0].float(), after
        log_probs = torch.stack([logits.float().log_softmax(1) for logits, _ in steps])
        return log_probs.logsumexp(0) - log(len(steps)), after

    @override
    def step(self, tokens: Tensor, state: ScorerState, candidates: Tensor | None = None) -> tuple[Tensor, ScorerState]:
        logits, after = self.logits(tokens, state)
        return _weighed(logits.log_softmax(1), self.weight, candidates), after


class LanguageModelScorer(Scorer):
    """A decoder that reads the target alone (shallow fusion, Gülçehre et al. 2015): its memory is always the same.

    Args:
        decoder: a model of the target language over the same vocabulary.
        memory: the memory of one example (1, S, D), the one that the decoder was trained with.
        weight: what its log-probabilities are multiplied by.
    """

    def __init__(self, decoder: Decoder, memory: Memory, weight: float) -> None:
        self._decoder, self._memory, self._weight = decoder, memory, _checked("weight", weight)
        self.networks = (decoder,)
        self.bounded = weight >= 0

    @override
    def start(self, source: Source, memory: Memory) -> DecoderStates:
        refuse_own_words(memory)
        each = torch.zeros(len(source), dtype=torch.int64, device=self._memory.states.device)
        return DecoderStates((self._decoder.start(self._memory.select(each)),))

    @override
    def step(self, tokens: Tensor, state: ScorerState, candidates: Tensor | None = None) -> tuple[Tensor, ScorerState]:
        assert isinstance(state, DecoderStates)
        logits, after = self._decoder.step(tokens, state.states[0])
        return _weighed(logits.float().log_softmax(1), self._weight, candidates), DecoderStates((after,))


class TokenBonus(Scorer):
    """A constant for each token but the end token: a length bonus where it is positive (He et al. 2016).

    Args:
        bonus: what each token adds.
        vocab_size: the target's number of types.
        eos: the end token, which adds nothing.
    """

    def __init__(self, bonus: float, vocab_size: int, eos: int) -> None:
        self._bonus = _checked("bonus", bonus)
        self._bonuses = torch.full((vocab_size,), bonus)
        self._bonuses[eos] = 0
        self.bounded = bonus <= 0

    @override
    def start(self, source: Source, memory: Memory) -> NoState:
        own_words = self._bonuses.new_full((memory.extra_types,), self._bonus)
        self._all = torch.cat([self._bonuses, own_words]).to(memory.states.device)
        return NoState()

    @override
    def step(self, tokens: Tensor, state: ScorerState, candidates: Tensor | None = None) -> tuple[Tensor, ScorerState]:
        return self._all.unsqueeze(0) if candidates is None else self._all[candidates], state


def refuse_own_words(memory: Memory) -> None:
    """Raises ConfigError where words are copied that a language model has no types for."""
    if memory.extra_types:
        raise ConfigError(
            "a language model can't score the sources' own words, which it has no types for: decode without it, or "
            "use a vocabulary of subwords"
        )


def _weighed(log_probs: Tensor, weight: float, candidates: Tensor | None) -> Tensor:
    return weight * (log_probs if candidates is None else log_probs.gather(1, candidates))


def _checked(name: str, value: float) -> float:
    if not isfinite(value):
        raise ConfigError(f"a scorer's {name} must be a finite number, got {value}")
    return value

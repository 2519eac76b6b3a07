"""What steers a generation, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import ConfigError

LengthPenalty = Literal["none", "average", "gnmt"]


@dataclass(frozen=True)
class GenerationOptions:
    """How to write the target. Contradicting options raise at construction.

    Attributes:
        beam_size: hypotheses that are kept a source; 1 is greedy search.
        n_best: hypotheses that are returned a source, best first.
        max_length: the most tokens of a hypothesis, without its end token.
        max_length_ratio: and the most for each unit of memory, plus `max_length_offset`; None for no such limit.
        max_length_offset: see there.
        min_length: the fewest tokens of a hypothesis, without its end token.
        length_penalty: what a finished hypothesis's log-probability is divided by: nothing, its length ("average"), or
            ((5 + length) / 6) ** alpha ("gnmt": Wu et al. 2016, equation 14).
        alpha: the exponent, of the length ("average") or in GNMT's formula.
        early_stopping: stop a source as soon as no open hypothesis can still become one of the n best: the same
            result as running on.
        sample: draw tokens instead of taking the best ones.
        temperature: what the logits are divided by before drawing.
        top_k: draw from the k best tokens only; 0 for all.
        top_p: draw from the smallest set of tokens with this probability mass (Holtzman et al. 2020).
        seed: of the draws: the same seed gives the same text, whatever the batch.
        no_repeat_ngram: n-grams of this size never occur twice in a hypothesis; 0 for no such rule.
    """

    beam_size: int = 1
    n_best: int = 1
    max_length: int = 256
    max_length_ratio: float | None = None
    max_length_offset: int = 10
    min_length: int = 0
    length_penalty: LengthPenalty = "average"
    alpha: float = 1.0
    early_stopping: bool = True
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    no_repeat_ngram: int = 0

    def __post_init__(self) -> None:
        for name, least in (("beam_size", 1), ("n_best", 1), ("max_length", 1), ("min_length", 0), ("top_k", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"generation.{name} must be at least {least}, got {getattr(self, name)}")
        if self.min_length > self.max_length:
            raise ConfigError(
                f"generation.min_length is {self.min_length}, more than generation.max_length, {self.max_length}"
            )


@dataclass(frozen=True)
class Hypothesis:
    """One generated target.

    Attributes:
        tokens: its ids, without begin and end token.
        score: what it was ranked by: higher is better, comparable within one source.
        log_prob: the sum of its tokens' log-probabilities, end token included (natural logarithm).
        finished: it ended by itself; False where `max_length` cut it.
    """

    tokens: tuple[int, ...]
    score: float
    log_prob: float
    finished: bool

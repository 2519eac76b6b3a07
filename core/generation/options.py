"""What steers a generation, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal, get_args

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
        length_penalty: what a hypothesis's log-probability is divided by: nothing, length ** alpha ("average"), or
            ((5 + length) / 6) ** alpha ("gnmt": Wu et al. 2016, equation 14); the length counts the end token.
        alpha: the exponent, of the length ("average") or in GNMT's formula.
        early_stopping: stop a source as soon as no open hypothesis can still become one of the n best: the same
            result as running on until `stop` or the length's limit ends it.
        stop: when a source with `beam_size` finished hypotheses ends. "best": once the best open one, by its score so
            far, is below the n best that finished. "count": at once, as in fairseq and in transformers with
            early_stopping=True; faster, but a model trained with label smoothing, for which "end now" is often
            second best, then fills the places with fragments.
        sample: draw tokens instead of taking the best ones.
        temperature: what the logits are divided by before drawing.
        top_k: draw from the k best tokens only; 0 for all.
        top_p: draw from the smallest set of tokens with this probability mass (Holtzman et al. 2020).
        seed: of the draws: the same seed gives the same text, whatever the batch.
        no_repeat_ngram: n-grams of this size never occur twice in a hypothesis; 0 for no such rule.
        preselect: added scorers judge only this many of the model's best tokens a row, and the end token; 0 for all.
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
    stop: Literal["best", "count"] = "best"
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 0
    no_repeat_ngram: int = 0
    preselect: int = 0

    def __post_init__(self) -> None:
        self._check_ranges()
        if self.min_length > self.max_length:
            raise ConfigError(
                f"generation.min_length is {self.min_length}, more than generation.max_length, {self.max_length}"
            )
        if self.sample:
            if self.beam_size > 1:
                raise ConfigError(
                    f"generation.sample draws and generation.beam_size={self.beam_size} searches: set beam_size=1 "
                    "(n_best is the number of draws), or sample=false"
                )
        else:
            self._check_search()

    def _check_ranges(self) -> None:
        least = {"beam_size": 1, "n_best": 1, "max_length": 1} | dict.fromkeys(
            ("min_length", "top_k", "max_length_offset", "no_repeat_ngram", "preselect"), 0
        )
        for name, limit in least.items():
            if getattr(self, name) < limit:
                raise ConfigError(f"generation.{name} must be at least {limit}, got {getattr(self, name)}")
        if self.max_length_ratio is not None and not 0 < self.max_length_ratio < inf:
            raise ConfigError(f"generation.max_length_ratio must be above 0, or null, got {self.max_length_ratio}")
        if not 0 < self.temperature < inf:
            raise ConfigError(f"generation.temperature must be above 0, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"generation.top_p must be above 0 and at most 1, got {self.top_p}")
        if not isfinite(self.alpha):
            raise ConfigError(f"generation.alpha must be a finite number, got {self.alpha}")
        if self.length_penalty not in get_args(LengthPenalty):
            raise ConfigError(
                f"generation.length_penalty must be one of {', '.join(get_args(LengthPenalty))}, "
                f"got {self.length_penalty!r}"
            )

    def _check_search(self) -> None:
        if self.n_best > self.beam_size:
            raise ConfigError(
                f"generation.n_best is {self.n_best}, more than generation.beam_size, {self.beam_size}: a beam gives "
                f"at most its own size; set beam_size={self.n_best}, or sample=true"
            )
        for name, neutral in (("temperature", 1.0), ("top_k", 0), ("top_p", 1.0)):
            if getattr(self, name) != neutral:
                raise ConfigError(
                    f"generation.{name} is {getattr(self, name)}, but generation.sample is false and only draws use "
                    f"it: set sample=true, or {name}={neutral}"
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

"""What a training step minimises.

Letters: B batch, T target length, D width, N target tokens of the batch, V vocabulary.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.batch import Seq2SeqBatch, TextBatch, shift_right
from core.decoders.base import Decoder
from core.encoders.base import Memory
from core.errors import ConfigError
from core.generation.randomness import seeds_of, uniform
from core.heads import CopyHead, VocabularyHead
from core.layers.coverage import coverage_loss
from core.layers.cross_entropy import smoothed_cross_entropy, smoothed_cross_entropy_logits
from core.masks import length_mask
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials


@dataclass(frozen=True)
class Loss:
    """The outcome of one batch on one rank, not yet averaged: sums, so that ranks and accumulated batches add up.

    Attributes:
        total: what is minimised, summed over the target's tokens (a scalar with gradient).
        nll: the negative log-likelihood in nats, summed likewise, without smoothing and without gradient.
        tokens: how many tokens that is (a scalar, int64).
        parts: further sums to log beside it, by name, without gradient.
    """

    total: Tensor
    nll: Tensor
    tokens: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)

    def weightless(self) -> Loss:
        """The same graph, so that each parameter gets a gradient: of zeros, for no token."""
        return Loss(self.total * 0, self.nll * 0, self.tokens * 0)


class Objective(nn.Module, ABC):
    """One way of training: teacher forcing, scheduled sampling, sequence-level rewards.

    Attributes:
        seed: the run's, for objectives that draw; the module sets it.
        writes: whether it writes targets token by token, in numbers of steps that differ from rank to rank.
    """

    seed: int = 0
    writes: bool = False

    def trains_all(self, model: EncoderDecoder) -> bool:
        """Whether each update has a gradient for all of a model's parameters."""
        return True

    @abstractmethod
    def forward(self, model: EncoderDecoder, batch: Seq2SeqBatch, specials: Specials, step: int) -> Loss:
        """Scores a batch.

        Args:
            model: what is trained.
            batch: with a target.
            specials: the target's special ids.
            step: updates made so far, for objectives that change over time.
        """


def target_loss(
    decoder: Decoder, inputs: Tensor, target: TextBatch, memory: Memory, smoothing: float, coverage: float | None = None
) -> Loss:
    """Cross-entropy of a target, given the tokens (B, T) that the decoder reads in its place.

    Args:
        decoder: what is scored.
        inputs: (B, T).
        target: B targets.
        memory: of their sources.
        smoothing: the share of the target's probability that is spread over the vocabulary.
        coverage: the weight of the coverage loss (`core.layers.coverage`), which `Loss.parts` has before it is
            weighted; None where it isn't wanted.

    Raises:
        ConfigError: coverage is wanted of a decoder that doesn't tell where it looks.
    """
    if coverage is None and not decoder.copies:
        return features_loss(decoder, decoder.features(inputs, memory), target, smoothing)
    features, weights = decoder.read(inputs, memory)
    loss = read_loss(decoder, features, weights, target, memory, smoothing)
    if coverage is None:
        return loss
    if weights is None:
        raise ConfigError(
            f"objective.coverage needs attention that tokens are copied by, but {type(decoder).__name__} has none: set "
            f"model.decoder.copy=true (a recurrent decoder may have any attention instead), or objective.coverage=0"
        )
    is_token = length_mask(target.lengths, target.values.size(1))
    overlap = coverage_loss(weights.float(), is_token, memory.mask)
    return replace(loss, total=loss.total + coverage * overlap, parts={"coverage": overlap.detach()})


def read_loss(
    decoder: Decoder, features: Tensor, weights: Tensor | None, target: TextBatch, memory: Memory, smoothing: float
) -> Loss:
    """Cross-entropy of a target, given what `Decoder.read` made of its places: (B, T, D), and (B, T, S) or None."""
    sources = decoder.copyable(memory)
    if sources is None:
        return features_loss(decoder, features, target, smoothing)
    assert weights is not None
    assert isinstance(decoder.head, CopyHead)
    is_token = length_mask(target.lengths, target.values.size(1))
    total, nll = decoder.head.loss(features, weights, sources, target.values, is_token, smoothing)
    return Loss(total, nll, target.lengths.sum())


def features_loss(decoder: Decoder, features: Tensor, target: TextBatch, smoothing: float) -> Loss:
    """Cross-entropy of a target, given the decoder's features (B, T, D) of its places.

    The head sees the N real positions only: padding costs nothing there, where most of a small model's time goes.
    """
    is_token = length_mask(target.lengths, target.values.size(1))
    features, wanted = features[is_token], target.values[is_token]  # (N, D), (N,)
    if isinstance(decoder.head, VocabularyHead):
        linear = decoder.head.projection
        total, nll = smoothed_cross_entropy(features, linear.weight, linear.bias, wanted, smoothing)
    else:
        total, nll = smoothed_cross_entropy_logits(decoder.head(features), wanted, smoothing)
    return Loss(total, nll, target.lengths.sum())


def required_target(batch: Seq2SeqBatch) -> TextBatch:
    """The target of a batch that must have one."""
    assert batch.target is not None, "this batch was made for prediction: it has no target"
    return batch.target


class CrossEntropy(Objective):
    """Teacher forcing with label smoothing (Szegedy et al. 2016, section 7; Vaswani et al. 2017, section 5.4).

    Args:
        label_smoothing: the share of the target's probability that is spread evenly over the vocabulary.
        coverage: the weight of the coverage loss (See, Liu and Manning 2017, equation 13), whose lambda is 1: what is
            attended to again costs. "coverage" is logged beside the loss, over the tokens, unweighted.
        coverage_from: updates before it counts; the paper's models learn without it first.

    Raises:
        ConfigError: an option is out of its range.
    """

    def __init__(self, label_smoothing: float = 0.1, coverage: float = 0.0, coverage_from: int = 0) -> None:
        super().__init__()
        self.label_smoothing = check_share("objective.label_smoothing", label_smoothing)
        for name, value in (("coverage", coverage), ("coverage_from", coverage_from)):
            if not 0 <= value < math.inf:
                raise ConfigError(f"objective.{name} must be a finite number that is at least 0, got {value}")
        self.coverage, self.coverage_from = coverage, coverage_from

    def coverage_weight(self, step: int) -> float | None:
        """What the coverage loss is multiplied by at an update; None where it is never wanted."""
        if not self.coverage:
            return None
        return self.coverage if step >= self.coverage_from else 0.0

    def forward(self, model: EncoderDecoder, batch: Seq2SeqBatch, specials: Specials, step: int) -> Loss:
        """Scores a batch with the reference as the decoder's input."""
        target = required_target(batch)
        inputs = shift_right(target.values, specials.bos)
        memory, coverage = model.encode(batch.source), self.coverage_weight(step)
        return target_loss(model.decoder, inputs, target, memory, self.label_smoothing, coverage)


class ScheduledSampling(Objective):
    """Reads the model's own tokens in place of some of the reference's, more of them as training goes on.

    Bengio et al. 2015, for the mismatch between teacher forcing and generation. The gradient doesn't flow through the
    choice of a token, so the inputs are chosen first, without gradient, and scored by one ordinary pass.

    Args:
        rollout: how the inputs are chosen. "stepwise" is Bengio's: token by token, each drawn given the mixed ones
            before it. "parallel" draws all of them from one teacher-forced pass (Mihaylova and Martins 2019): two
            passes instead of T steps, which is what a Transformer wants.
        decay: of the share of reference tokens, over updates i: "linear" max(floor, 1 - i / length), "exponential"
            max(floor, exp(-i / length)), "inverse_sigmoid" max(floor, k / (k + exp(i / k))) with k = length.
        length: how slow that is, in updates.
        floor: the share of reference tokens that always remains.
        choice: how the model picks its token: its best one, or drawn from its distribution.
        label_smoothing: as in `CrossEntropy`.
    """

    def __init__(
        self,
        rollout: Literal["stepwise", "parallel"] = "parallel",
        decay: Literal["linear", "exponential", "inverse_sigmoid"] = "inverse_sigmoid",
        length: float = 1000.0,
        floor: float = 0.5,
        choice: Literal["best", "draw"] = "draw",
        label_smoothing: float = 0.1,
    ) -> None:
        super().__init__()
        if length <= 0:
            raise ConfigError(f"objective.length is a number of updates above 0, got {length}")
        self.rollout = rollout
        self.writes = rollout == "stepwise"
        self.decay = decay
        self.length = length
        self.floor = check_share("objective.floor", floor)
        self.choice = choice
        self.label_smoothing = check_share("objective.label_smoothing", label_smoothing)

    def reference_share(self, step: int) -> float:
        """The probability of reading the reference's token at an update."""
        if self.decay == "linear":
            share = 1 - step / self.length
        elif self.decay == "exponential":
            share = math.exp(-step / self.length)
        else:  # k / (k + exp(i / k)), written so that it can't overflow
            share = self.length * math.exp(-step / self.length) / (self.length * math.exp(-step / self.length) + 1)
        return max(self.floor, share)

    def forward(self, model: EncoderDecoder, batch: Seq2SeqBatch, specials: Specials, step: int) -> Loss:
        """Scores a batch with a mix of the reference's and the model's tokens as the decoder's input."""
        target = required_target(batch)
        reference = shift_right(target.values, specials.bos)
        memory = model.encode(batch.source)
        share = self.reference_share(step)
        kept, chosen = self.draws(batch.ids, reference, step)
        keep = kept < share
        keep[:, 0] = True  # the begin token
        with torch.no_grad():
            mix = self._mix_stepwise if self.rollout == "stepwise" else self._mix_parallel
            inputs = reference if share == 1 else mix(model.decoder, reference, keep, chosen, memory)
        return target_loss(model.decoder, inputs, target, memory, self.label_smoothing)

    def draws(self, ids: Sequence[int], reference: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Two numbers in [0, 1) for each place of a reference (B, T): whether it is kept, and what is said there.

        They follow from the run's seed, the update, the example and the place, so that an example is read alike in
        whichever batch and on whichever rank.
        """
        seeds = seeds_of(self.seed ^ step, ids, reference.size(1)).to(reference.device)
        kept, chosen = (uniform(seeds, number).view_as(reference) for number in range(2))
        return kept, chosen

    def _mix_parallel(
        self, decoder: Decoder, reference: Tensor, keep: Tensor, chosen: Tensor, memory: Memory
    ) -> Tensor:
        said = F.pad(~keep[:, 1:], (0, 1))  # True where what the decoder says goes into the place after it
        inputs = reference.clone()
        inputs[~keep] = self._choose(decoder.score_at(reference, memory, said), chosen[~keep])
        return inputs

    def _mix_stepwise(
        self, decoder: Decoder, reference: Tensor, keep: Tensor, chosen: Tensor, memory: Memory
    ) -> Tensor:
        state = decoder.start(memory)
        inputs = reference.clone()
        for place in range(1, reference.size(1)):
            logits, state = decoder.step(inputs[:, place - 1], state)
            said = self._choose(logits, chosen[:, place])
            inputs[:, place] = torch.where(keep[:, place], reference[:, place], said)
        return inputs

    def _choose(self, logits: Tensor, chosen: Tensor) -> Tensor:
        """A token for each of N places: the best, or that in whose share of the distribution a number (N,) falls."""
        if self.choice == "best":
            return logits.argmax(-1)
        shares = logits.float().softmax(-1).cumsum(-1)  # (N, V)
        # Times the last, which rounding may leave below 1; rounding again may bring the product up to it.
        found = torch.searchsorted(shares, (chosen * shares[:, -1]).unsqueeze(-1), right=True).squeeze(-1)
        return found.clamp(max=logits.size(-1) - 1)


def check_share(name: str, value: float) -> float:
    """Returns a share in [0, 1), or raises ConfigError with the option's name."""
    if not 0 <= value < 1:
        raise ConfigError(f"{name} must be at least 0 and below 1, got {value}")
    return value

"""What a training step minimises.

Letters: B batch, T target length, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from torch import Tensor, nn

from core.batch import Seq2SeqBatch
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials


@dataclass(frozen=True)
class Loss:
    """The outcome of one batch on one rank, not yet averaged: sums, so that ranks and accumulated batches add up.

    Attributes:
        total: what is minimised, summed over the target's tokens (a scalar with gradient).
        tokens: how many tokens that is (a scalar, int64).
        parts: further sums over tokens to log, without gradient, e.g. the negative log-likelihood without smoothing.
    """

    total: Tensor
    tokens: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)


class Objective(nn.Module, ABC):
    """One way of training: teacher forcing, scheduled sampling, sequence-level rewards."""

    @abstractmethod
    def forward(self, model: EncoderDecoder, batch: Seq2SeqBatch, specials: Specials, step: int) -> Loss:
        """Scores a batch.

        Args:
            model: what is trained.
            batch: with a target.
            specials: the target's special ids.
            step: updates made so far, for objectives that change over time.
        """

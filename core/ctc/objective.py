"""Joint training of CTC and attention.

Letters: B batch, S memory length, T target length, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from core.batch import Seq2SeqBatch, TextBatch, shift_right
from core.ctc.model import CtcEncoderDecoder, check_weight, with_ctc
from core.encoders.base import Memory
from core.masks import length_mask
from core.objectives import Loss, Objective, check_share, required_target, target_loss
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials


class JointCtcAttention(Objective):
    """(1 - w) * cross-entropy of the decoder + w * CTC of the memory, of which the encoder makes one.

    Watanabe et al. 2017, equation 10, with sums over the batch in place of means. A pair with fewer frames than CTC
    needs has an infinite CTC loss: that part of it is left out and counted, its cross-entropy stays.

    Args:
        ctc_weight: w. At 1 the decoder isn't run, and `Loss.nll` is CTC's; at 0 the head isn't.
        label_smoothing: of the cross-entropy, as in `CrossEntropy`.

    Attributes:
        infeasible: how many pairs have been left out of CTC so far.
    """

    def __init__(self, ctc_weight: float = 0.3, label_smoothing: float = 0.1) -> None:
        super().__init__()
        self.ctc_weight = check_weight("objective.ctc_weight", ctc_weight)
        self.label_smoothing = check_share("objective.label_smoothing", label_smoothing)
        self.infeasible = 0

    def trains_all(self, model: EncoderDecoder) -> bool:
        """Not where one of the two losses is left out, and with it the decoder or the head."""
        return 0 < self.ctc_weight < 1

    def forward(self, model: EncoderDecoder, batch: Seq2SeqBatch, specials: Specials, step: int) -> Loss:
        """Scores a batch; the parts "ctc" and "attention" are the negative log-likelihoods of each.

        Raises:
            ConfigError: the model has no CTC head.
        """
        target, weight = required_target(batch), self.ctc_weight
        memory = model.encode(batch.source)
        total, nll, parts = memory.states.new_zeros((), dtype=torch.float32), None, {}
        if weight < 1:
            inputs = shift_right(target.values, specials.bos)
            attention = target_loss(model.decoder, inputs, target, memory, self.label_smoothing)
            total, nll = (1 - weight) * attention.total, attention.nll
            parts["attention"] = nll
        if weight > 0:
            ctc = self._ctc(with_ctc(model, "objective.JointCtcAttention"), memory, target, specials.pad)
            total = total + weight * ctc
            parts["ctc"] = ctc.detach()
        return Loss(total, parts["ctc"] if nll is None else nll, target.lengths.sum(), parts)

    def _ctc(self, model: CtcEncoderDecoder, memory: Memory, target: TextBatch, blank: int) -> Tensor:
        """CTC's negative log-likelihood of the targets without their end tokens, summed over the feasible pairs."""
        log_probs, lengths = model.ctc_log_probs(memory), target.lengths - 1
        fits = feasible(memory.lengths, target.values, lengths)
        if not fits.all():
            self.infeasible += int((~fits).sum())
            kept = memory.lengths[fits], target.values[fits], lengths[fits]
            return ctc_loss(log_probs[fits], *kept, blank).sum()
        return ctc_loss(log_probs, memory.lengths, target.values, lengths, blank).sum()


def ctc_loss(log_probs: Tensor, memory_lengths: Tensor, targets: Tensor, lengths: Tensor, blank: int) -> Tensor:
    """The negative log-likelihood of each target, over all paths that it is written by (Graves et al. 2006, 4.1).

    Args:
        log_probs: (B, S, V) float32, normalised: torch's gradient holds for the output of a log_softmax only.
        memory_lengths: (B,), in frames.
        targets: (B, T) ids without the blank.
        lengths: (B,), in tokens.
        blank: the blank's id.

    Returns:
        (B,) in nats; infinite for pairs that aren't `feasible`, whose gradient is not a number.
    """
    if not len(log_probs):  # torch refuses a batch of none
        return log_probs.sum((1, 2))
    return F.ctc_loss(log_probs.transpose(0, 1), targets, memory_lengths, lengths, blank, reduction="none")


def feasible(memory_lengths: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    """Where CTC can write the target: a frame for each token, and one between two equal tokens.

    Args:
        memory_lengths: (B,), in frames.
        targets: (B, T) ids without the end token.
        lengths: (B,), in tokens.

    Returns:
        (B,) boolean.
    """
    repeats = (targets[:, 1:] == targets[:, :-1]) & length_mask(lengths, targets.size(1))[:, 1:]
    return memory_lengths >= lengths + repeats.sum(1)

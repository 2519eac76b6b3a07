"""The objective of Show, Attend and Tell: attention that gives each place of the source its share of the target.

Letters: B batch, T target length, S memory length.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from core.batch import Seq2SeqBatch, shift_right
from core.decoders.recurrent import RecurrentDecoder
from core.errors import ConfigError
from core.masks import length_mask
from core.objectives import Loss, Objective, check_share, features_loss, required_target
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials


class DoublyStochastic(Objective):
    """Cross-entropy, and the attention's weights pushed to sum to one over time too (Xu et al. 2015, equation 14).

    Adds weight * sum over places i of (1 - sum over tokens t of alpha_ti)^2 for each example. The weights are those of
    the pass that scores the target: there is no second one. `Loss.parts` has the sum before it is weighted, which is
    logged over the tokens as "doubly_stochastic".

    Args:
        weight: the paper's lambda; its code's default is 1.
        label_smoothing: as in `CrossEntropy`.

    Raises:
        ConfigError: a negative weight; when called, a decoder that doesn't give features and attention in one pass.
    """

    def __init__(self, weight: float = 1.0, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if weight < 0:
            raise ConfigError(f"objective.weight must be at least 0, got {weight}")
        self.weight = weight
        self.label_smoothing = check_share("objective.label_smoothing", label_smoothing)

    def forward(self, model: EncoderDecoder, batch: Seq2SeqBatch, specials: Specials, step: int) -> Loss:
        """Scores a batch with the reference as the decoder's input."""
        decoder, target = model.decoder, required_target(batch)
        if not isinstance(decoder, RecurrentDecoder) or decoder.alignment is None:
            raise ConfigError(
                f"objective DoublyStochastic needs a RecurrentDecoder with attention, got {described(decoder)}: choose "
                f"such a decoder (attention: additive is the paper's), or objective CrossEntropy"
            )
        memory = model.encode(batch.source)
        features, weights = decoder.read(shift_right(target.values, specials.bos), memory)
        assert weights is not None
        loss = features_loss(decoder, features, target, self.label_smoothing)
        uneven = unevenness(weights, target.lengths, memory.mask)
        parts = {"doubly_stochastic": uneven.detach()}
        return replace(loss, total=loss.total + self.weight * uneven, parts=parts)


def unevenness(weights: Tensor, lengths: Tensor, is_place: Tensor) -> Tensor:
    """Sums (1 - sum over t of alpha_ti)^2 over the places i of all examples: a scalar, float32.

    Args:
        weights: alpha, (B, T, S).
        lengths: of the targets, (B,): what was looked at beyond them doesn't count.
        is_place: True where a place belongs to its source, (B, S).
    """
    is_token = length_mask(lengths, weights.size(1)).unsqueeze(2)
    received = weights.float().masked_fill(~is_token, 0.0).sum(1)  # (B, S)
    return (1 - received).square().masked_fill(~is_place, 0.0).sum()


def described(decoder: object) -> str:
    """A decoder's name, for the message of the error."""
    name = type(decoder).__name__
    return f"{name} with attention: none" if isinstance(decoder, RecurrentDecoder) else name

"""R-Drop: two passes with different dropout are to say the same (Liang et al. 2021).

Letters: B batch, T target length, D width, N real tokens.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from core.batch import Seq2SeqBatch, TextBatch, shift_right
from core.errors import ConfigError
from core.heads import VocabularyHead
from core.layers.divergence import symmetric_divergence
from core.masks import length_mask
from core.objectives import Loss, Objective, check_share, features_loss, required_target
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials


class RDrop(Objective):
    """Cross-entropy of two passes over each example, and how far their distributions are apart.

    Minimises half of equation 4: the mean of the two cross-entropies, and a quarter of `alpha` times the sum of the
    divergences in both directions. An update costs a little over twice as much as without, in time and memory, and the
    model must have dropout. `Loss.parts` has the divergences' sum before it is weighted, which is logged over the
    tokens as "divergence".

    Args:
        alpha: the paper's weight, 5 for translation there.
        label_smoothing: as in `CrossEntropy`.

    Raises:
        ConfigError: a negative weight; when called, a decoder that copies.
    """

    def __init__(self, alpha: float = 5.0, label_smoothing: float = 0.1) -> None:
        super().__init__()
        if alpha < 0:
            raise ConfigError(f"objective.alpha must be at least 0, got {alpha}")
        self.alpha = alpha
        self.label_smoothing = check_share("objective.label_smoothing", label_smoothing)

    def forward(self, model: EncoderDecoder, batch: Seq2SeqBatch, specials: Specials, step: int) -> Loss:
        """Scores a batch twice, as one batch of twice the size, with the reference as the decoder's input."""
        decoder, once = model.decoder, required_target(batch)
        if not isinstance(decoder.head, VocabularyHead):
            raise ConfigError("objective RDrop compares what a vocabulary's head says: set model.decoder.copy=false")
        rows = torch.arange(len(batch), device=once.values.device).repeat(2)
        target = TextBatch(once.values[rows], once.lengths[rows])
        memory = model.encode(batch.source.select(rows))
        features = decoder.features(shift_right(target.values, specials.bos), memory)
        loss = features_loss(decoder, features, target, self.label_smoothing)
        is_token = length_mask(once.lengths, once.values.size(1))
        first, second = (side[is_token] for side in features.chunk(2))
        linear = decoder.head.projection
        divergence = symmetric_divergence(first, second, linear.weight, linear.bias)
        total = loss.total / 2 + self.alpha / 4 * divergence
        return replace(
            loss,
            total=total,
            nll=loss.nll / 2,
            tokens=once.lengths.sum(),
            parts={"divergence": divergence.detach()},
        )

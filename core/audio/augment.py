"""SpecAugment: parts of the features are masked in training (Park et al. 2019).

Letters: B batch, F frames, M features a frame, N masks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.batch import FrameBatch, Source
from core.errors import ConfigError
from core.masks import length_mask


@dataclass(frozen=True)
class SpecAugmentOptions:
    """How much is masked; nothing by default. Park et al.'s LibriSpeech double: 2 of 27 features, 2 of 100 frames.

    Attributes:
        frequency_masks: masks of neighbouring features an utterance.
        frequency_width: the most features of a mask; its width is uniform from 0 to this.
        time_masks: masks of neighbouring frames an utterance.
        time_width: the most frames of a mask; its width is uniform from 0 to this.
        time_share: and the most as a share of the utterance's frames.
    """

    frequency_masks: int = 0
    frequency_width: int = 27
    time_masks: int = 0
    time_width: int = 100
    time_share: float = 0.2

    def __post_init__(self) -> None:
        for name in ("frequency_masks", "frequency_width", "time_masks", "time_width"):
            if getattr(self, name) < 0:
                raise ConfigError(f"model.frontend.spec_augment.{name} must be at least 0, got {getattr(self, name)}")
        if not 0 <= self.time_share <= 1:
            raise ConfigError(
                f"model.frontend.spec_augment.time_share must be within 0 and 1, got {self.time_share}: it is the "
                "share of an utterance that one mask may cover"
            )


class SpecAugment(nn.Module):
    """Masks bands of frequency and stretches of time in training, each utterance's own, within its own length.

    What is masked becomes the utterance's mean of that feature, which is zero after normalisation by utterance. The
    draws come from torch's generator of the features' device. The paper's time warping, which helped least (its
    section 5), is left out.

    Args:
        options: how much is masked.
    """

    def __init__(self, options: SpecAugmentOptions) -> None:
        super().__init__()
        self.options = options

    def forward(self, frames: Source) -> FrameBatch:
        """Masks features (B, F, M) in training; returns them as they are otherwise."""
        values, lengths = frames.values, frames.lengths
        if not self.training or not (self.options.frequency_masks or self.options.time_masks):
            return FrameBatch(values, lengths)
        inside = length_mask(lengths, values.size(1)).unsqueeze(2)  # (B, F, 1)
        total = values.masked_fill(~inside, 0.0).sum(1, keepdim=True)
        mean = total / lengths.clamp_min(1)[:, None, None]  # (B, 1, M)
        masked = (self._bands(frames).unsqueeze(1) | self._stretches(frames).unsqueeze(2)) & inside
        return FrameBatch(torch.where(masked, mean, values), lengths)

    def _bands(self, frames: Source) -> Tensor:
        """Draws which features (B, M) are masked."""
        size = frames.values.size(2)
        sizes = torch.full_like(frames.lengths, size)
        widths = sizes.clamp_max(self.options.frequency_width)
        return random_spans(sizes, widths, self.options.frequency_masks, size)

    def _stretches(self, frames: Source) -> Tensor:
        """Draws which frames (B, F) are masked."""
        widths = (frames.lengths * self.options.time_share).long().clamp_max(self.options.time_width)
        return random_spans(frames.lengths, widths, self.options.time_masks, frames.values.size(1))


def random_spans(lengths: Tensor, widths: Tensor, number: int, size: int) -> Tensor:
    """Draws spans within each row's length and marks what they cover.

    Args:
        lengths: (B,) what the spans lie within.
        widths: (B,) the most that a span covers, at most its row's length; uniform from 0 to this.
        number: spans a row, N; they may overlap.
        size: columns of the result.

    Returns:
        a boolean (B, size).
    """
    draws = torch.rand(2, len(lengths), number, device=lengths.device)
    width = (draws[0] * (widths + 1).unsqueeze(1)).long()  # (B, N)
    begin = (draws[1] * (lengths.unsqueeze(1) - width + 1)).long()  # (B, N)
    place = torch.arange(size, device=lengths.device)
    covered = (place >= begin.unsqueeze(2)) & (place < (begin + width).unsqueeze(2))  # (B, N, size)
    return covered.any(dim=1)

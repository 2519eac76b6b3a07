"""Training on sounds as they might have been: faster, slower, with noise.

Letters: B batch, S samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.batch import AudioBatch, Source
from core.errors import ConfigError
from core.masks import length_mask

NoiseColour = Literal["white", "pink"]


class SpeedPerturbation(nn.Module):
    """Plays each utterance faster or slower in training, pitch and all, by resampling it (Ko et al. 2015).

    Args:
        factors: of the speed, one drawn for each utterance, each as likely: 0.9 makes it 1/0.9 times as long. Empty
            for none.

    Raises:
        ConfigError: a factor is outside 0.5 to 2.
    """

    def __init__(self, factors: Sequence[float] = (0.9, 1.0, 1.1)) -> None:
        super().__init__()
        for factor in factors:
            if not 0.5 <= factor <= 2:
                raise ConfigError(f"model.frontend.speed must be factors within 0.5 and 2 (0.9, 1.1), got {factor}")
        # A small ratio keeps the filter of the resampling small.
        self.ratios = [Fraction(factor).limit_denominator(100) for factor in factors]

    def forward(self, source: Source) -> AudioBatch:
        """Changes samples (B, S) and their lengths in training, zero beyond each; as they are otherwise."""
        if not self.training or set(self.ratios) <= {Fraction(1)}:
            return AudioBatch(source.values, source.lengths)
        drawn = torch.randint(len(self.ratios), (len(source),))
        lengths = source.lengths.clone()
        parts: list[tuple[Tensor, Tensor]] = []
        for number, ratio in enumerate(self.ratios):
            rows = (drawn == number).nonzero().squeeze(1).to(lengths.device)
            if len(rows):
                changed = change_speed(source.select(rows), ratio)
                lengths[rows] = changed.lengths
                parts.append((rows, changed.values))
        values = source.values.new_zeros(len(source), max((part.size(1) for _, part in parts), default=0))
        for rows, part in parts:
            values[rows, : part.size(1)] = part
        return AudioBatch(values, lengths)


def change_speed(source: Source, factor: Fraction) -> AudioBatch:
    """Resamples sounds (B, S) so that they play `factor` times as fast at the same rate; zero beyond each length."""
    from torchaudio.functional import resample

    mask = length_mask(source.lengths, source.values.size(1))
    values = source.values.masked_fill(~mask, 0.0)
    if factor == 1:
        return AudioBatch(values, source.lengths)
    lengths = -(-source.lengths * factor.denominator // factor.numerator)  # rounded up
    size = -(-values.size(1) * factor.denominator // factor.numerator)
    with torch.autocast(values.device.type, enabled=False):
        changed: Tensor = resample(values, factor.numerator, factor.denominator)
    changed = functional.pad(changed, (0, size - changed.size(1)))  # it rounds in float32: minutes lack a sample
    return AudioBatch(changed.masked_fill(~length_mask(lengths, changed.size(1)), 0.0), lengths)


@dataclass(frozen=True)
class NoiseOptions:
    """How noise is added in training; none by default.

    Attributes:
        probability: that an utterance gets any.
        min_snr: the least ratio of the utterance's power to the noise's, in dB; it is uniform between the two.
        max_snr: the greatest ratio, in dB.
        colour: equal power in every Hz ("white"), or in every octave ("pink"), as most noises of rooms and streets.
    """

    probability: float = 0.0
    min_snr: float = 10.0
    max_snr: float = 30.0
    colour: NoiseColour = "white"

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"model.frontend.noise.probability must be within 0 and 1, got {self.probability}")
        if not (isfinite(self.min_snr) and isfinite(self.max_snr) and self.min_snr <= self.max_snr):
            raise ConfigError(
                f"model.frontend.noise.min_snr must be at most max_snr (both in dB), got {self.min_snr} and "
                f"{self.max_snr}"
            )
        if self.colour not in get_args(NoiseColour):
            raise ConfigError(f"model.frontend.noise.colour must be white or pink, got {self.colour!r}")


class AdditiveNoise(nn.Module):
    """Adds noise to some utterances in training, at a drawn ratio to the power of their own samples.

    Args:
        options: how often, how loud and which.
    """

    def __init__(self, options: NoiseOptions) -> None:
        super().__init__()
        self.options = options

    def forward(self, source: Source) -> AudioBatch:
        """Adds noise to samples (B, S) in training, none beyond each length; returns them as they are otherwise."""
        if not self.training or not self.options.probability:
            return AudioBatch(source.values, source.lengths)
        rows = (torch.rand(len(source)) < self.options.probability).nonzero().squeeze(1).to(source.lengths.device)
        values = source.values.clone()
        values[rows] += self._noise(source.values[rows], source.lengths[rows])
        return AudioBatch(values, source.lengths)

    def _noise(self, values: Tensor, lengths: Tensor) -> Tensor:
        """Draws noise for samples (B, S); none for silence, since nothing is so much softer than it."""
        mask = length_mask(lengths, values.size(1))
        noise = torch.randn_like(values)
        if self.options.colour == "pink":
            noise = pink(noise)
        noise = noise.masked_fill(~mask, 0.0)
        span = self.options.max_snr - self.options.min_snr
        snr = self.options.min_snr + span * torch.rand(len(values), 1, device=values.device)
        wanted = energy(values.masked_fill(~mask, 0.0)) * 10 ** (-snr / 10)
        return noise * (wanted / energy(noise).clamp_min(torch.finfo(noise.dtype).tiny)).sqrt()


def energy(values: Tensor) -> Tensor:
    """The sum of squares (B, 1) of samples (B, S)."""
    return values.square().sum(1, keepdim=True)


def pink(white: Tensor) -> Tensor:
    """Makes noise (B, S) whose power falls as 1 / frequency of white noise (B, S)."""
    size = 1 << max(white.size(1) - 1, 1).bit_length()  # a power of two: transforms of other sizes may be slow
    spectrum = torch.fft.rfft(functional.pad(white, (0, size - white.size(1))))
    falling = torch.arange(spectrum.size(1), device=white.device).clamp_min(1).rsqrt()
    noise: Tensor = torch.fft.irfft(spectrum * falling, size)
    return noise[:, : white.size(1)]

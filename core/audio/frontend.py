"""The front-end of speech recognition, which is a part of the model: samples in, normalised log-mel features out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.audio.augment import SpecAugment, SpecAugmentOptions
from core.audio.log_mel import LogMel, MelOptions
from core.audio.normalise import NormaliseKind, Normaliser, global_statistics
from core.audio.perturb import AdditiveNoise, NoiseOptions, SpeedPerturbation
from core.batch import FrameBatch, Source


@dataclass(frozen=True)
class FrontEndOptions(MelOptions):
    """What a front-end does, besides the features' own options (`MelOptions`). Only training is augmented.

    Attributes:
        n_mels: number of mel filters: the features of a frame.
        window: length of the Hann window in milliseconds.
        hop: from one frame's centre to the next one's, in milliseconds.
        fmin: where the lowest filter begins, in Hz.
        fmax: where the highest filter ends, in Hz; None for half the sample rate.
        mel_scale: HTK's formula with filters of height one, or Slaney's with filters of equal area.
        preemphasis: each sample less this share of the one before; 0 for none.
        log_floor: the least energy of a filter, for samples in [-1, 1].
        normalise: each feature to mean 0 and deviation 1 over the utterance, over the training data, or not at all.
        speed: factors of the speed, one drawn for each utterance (0.9, 1.0 and 1.1 are usual); empty for none.
        noise: how noise is added.
        spec_augment: how features are masked.
    """

    normalise: NormaliseKind = "utterance"
    speed: tuple[float, ...] = ()
    noise: NoiseOptions = NoiseOptions()  # noqa: RUF009 (frozen)
    spec_augment: SpecAugmentOptions = SpecAugmentOptions()  # noqa: RUF009 (frozen)


class FrontEnd(nn.Module):
    """Turns samples into features: [speed, noise], log-mel, normalisation, [SpecAugment]; in brackets: in training.

    It keeps the contract of encoders: an utterance's features depend neither on padding nor on its batch.

    Args:
        sample_rate: of the samples, in Hz.
        options: what it does.

    Raises:
        ConfigError: an option is out of its range, or doesn't fit the sample rate.
    """

    def __init__(self, sample_rate: int, options: FrontEndOptions = FrontEndOptions()) -> None:
        super().__init__()
        self.sample_rate, self.options = sample_rate, options
        self.speed = SpeedPerturbation(options.speed)
        self.noise = AdditiveNoise(options.noise)
        self.log_mel = LogMel(sample_rate, options)
        self.normaliser = Normaliser(options.normalise, options.n_mels)
        self.spec_augment = SpecAugment(options.spec_augment)

    @property
    def n_features(self) -> int:
        """The features of a frame, which an encoder of frames is made with."""
        return self.options.n_mels

    @property
    def seconds_per_frame(self) -> float:
        """From one frame's centre to the next one's; the first is centred at the first sample."""
        return self.log_mel.hop_size / self.sample_rate

    @property
    def needs_statistics(self) -> bool:
        """Whether `fit_statistics` is still to be called: normalise is "global", and no checkpoint was loaded."""
        return self.normaliser.needs_statistics

    def frames(self, samples: Tensor) -> Tensor:
        """The numbers of frames of utterances of so many samples, at their own speed: integers of any shape."""
        return self.log_mel.frames(samples)

    @torch.no_grad()
    def fit_statistics(self, batches: Iterable[Source]) -> None:
        """Sets the mean and deviation for normalise "global" from the training data, which isn't augmented for it.

        Raises:
            ConfigError: normalise isn't "global", or a feature isn't finite.
            DataError: there are no frames.
        """
        device = self.log_mel.window.device
        self.normaliser.set_statistics(*global_statistics(self.log_mel(batch.to(device)) for batch in batches))

    def forward(self, source: Source) -> FrameBatch:
        """Computes the features (B, F, n_mels) of samples (B, S), zero beyond each length.

        Raises:
            CheckpointError: normalise is "global", and its statistics were never set.
        """
        frames: FrameBatch = self.normaliser(self.log_mel(self.noise(self.speed(source))))
        augmented: FrameBatch = self.spec_augment(frames)
        return augmented

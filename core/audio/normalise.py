"""Normalisation of features to mean zero and standard deviation one.

Letters: B batch, F frames, M features a frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from core.batch import FrameBatch, Source
from core.errors import CheckpointError, ConfigError, DataError
from core.masks import length_mask

NormaliseKind = Literal["none", "utterance", "global"]

# Of logarithms of energies: even steady noise varies by 0.5, and less than this is digital silence.
LEAST_DEVIATION = 0.1


class Normaliser(nn.Module):
    """Takes a mean off each feature and divides by a standard deviation, which is at least 0.1.

    Args:
        kind: with the mean and deviation of the utterance's own frames, of the training data ("global", buffers in
            the checkpoint, to be set once by `set_statistics`), or not at all.
        n_features: M.

    Raises:
        ConfigError: no such kind.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, kind: NormaliseKind, n_features: int) -> None:
        super().__init__()
        if kind not in get_args(NormaliseKind):
            raise ConfigError(f"model.frontend.normalise must be none, utterance or global, got {kind!r}")
        self.kind = kind
        self._known = False  # looked up once: the look-up waits for the device
        if kind == "global":
            self.register_buffer("mean", torch.full((n_features,), torch.nan))
            self.register_buffer("std", torch.full((n_features,), torch.nan))

    @property
    def needs_statistics(self) -> bool:
        """Whether the statistics of the training data are still to be set."""
        if self.kind == "global" and not self._known:
            self._known = not bool(self.mean.isnan().any() or self.std.isnan().any())
        return self.kind == "global" and not self._known

    def set_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Sets the global mean (M,) and standard deviation (M,).

        Raises:
            ConfigError: this one isn't global, or they aren't of that size, or not finite.
        """
        if self.kind != "global":
            raise ConfigError(f"model.frontend.normalise is {self.kind!r}: only 'global' takes statistics")
        if mean.shape != self.mean.shape or std.shape != self.std.shape:
            raise ConfigError(
                f"statistics of {tuple(mean.shape)} and {tuple(std.shape)} features don't fit the front-end, which "
                f"makes {tuple(self.mean.shape)}: compute them with the same model.frontend.n_mels"
            )
        if not bool(mean.isfinite().all() and std.isfinite().all()):
            raise ConfigError("the statistics of the features aren't finite: look for broken sounds in the data")
        self.mean.copy_(mean)
        self.std.copy_(std)

    def forward(self, frames: Source) -> FrameBatch:
        """Normalises features (B, F, M), zero beyond each length.

        Raises:
            CheckpointError: the global statistics were never set.
        """
        inside = length_mask(frames.lengths, frames.values.size(1)).unsqueeze(2)  # (B, F, 1)
        if self.kind == "utterance":
            mean, std = moments(frames, inside)
        elif self.kind == "global":
            mean, std = self._statistics()
        else:
            return FrameBatch(frames.values.masked_fill(~inside, 0.0), frames.lengths)
        values = (frames.values - mean) / std.clamp_min(LEAST_DEVIATION)
        return FrameBatch(values.masked_fill(~inside, 0.0), frames.lengths)

    def _statistics(self) -> tuple[Tensor, Tensor]:
        if self.needs_statistics:
            raise CheckpointError(
                "model.frontend.normalise is 'global', but no mean and standard deviation of the training data are "
                "set: `fit` computes them, a checkpoint carries them; or use normalise: utterance"
            )
        return self.mean, self.std


def moments(frames: Source, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (B, 1, M) of each utterance's own frames; `inside` (B, F, 1) marks them."""
    count = frames.lengths.clamp_min(1)[:, None, None]
    mean = frames.values.masked_fill(~inside, 0.0).sum(1, keepdim=True) / count
    variance = (frames.values - mean).masked_fill(~inside, 0.0).square().sum(1, keepdim=True) / count
    return mean, variance.sqrt()


def global_statistics(batches: Iterable[Source]) -> tuple[Tensor, Tensor]:
    """Mean (M,) and standard deviation (M,) of all frames of batches of features (B, F, M), summed in float64.

    Raises:
        DataError: there are no frames.
    """
    count = 0
    total = squares = torch.zeros(())
    for batch in batches:
        frames = batch.values[length_mask(batch.lengths, batch.values.size(1))].double().cpu()
        count += len(frames)
        total = total + frames.sum(0)
        squares = squares + frames.square().sum(0)
    if not count:
        raise DataError("there is no frame of sound to compute the statistics of the features from")
    mean = total / count
    return mean.float(), (squares / count - mean.square()).clamp_min(0.0).sqrt().float()

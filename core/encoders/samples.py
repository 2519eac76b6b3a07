"""What encoders of samples share: the guard at their entrance."""

from __future__ import annotations

from torch import Tensor

from core.batch import Source
from core.errors import ConfigError, DataError
from core.masks import length_mask


def read_samples(source: Source, least: int) -> Tensor:
    """Returns a source's samples (B, S), zero beyond each length, whatever stood there.

    Args:
        source: samples (B, S) and their number (B,).
        least: the shortest source that gives a state, in samples.

    Raises:
        ConfigError: something else than samples.
        DataError: a source that is too short.
    """
    if source.values.dim() != 2 or not source.values.is_floating_point():
        raise ConfigError(
            f"the encoder reads samples (B, S) in floating point, got values of shape {tuple(source.values.shape)} "
            f"and type {source.values.dtype}: leave the front-end out, or choose an encoder of frames"
        )
    shortest = int(source.lengths.min()) if len(source) else least
    if shortest < least:
        raise DataError(
            f"a source of {shortest} samples is too short for this encoder, which needs at least {least}: leave it "
            f"out, or pad the recording with silence"
        )
    # Filled, not multiplied: what stands in the padding may be NaN, and 0 * NaN is NaN.
    return source.values.masked_fill(~length_mask(source.lengths, source.values.size(1)), 0.0)


def check_rate(given: int, wanted: int, name: str) -> None:
    """Raises ConfigError where a pretrained encoder would read samples at another rate than it was trained with."""
    if given != wanted:
        raise ConfigError(
            f"{name} was trained with {wanted} samples a second, and the data gives {given}: set the data's sample "
            f"rate to {wanted}, recordings are resampled"
        )

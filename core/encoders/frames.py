"""What encoders of feature frames share: the guard at their entrance.

Letters: B batch, S source length in frames, F features a frame.
"""

from __future__ import annotations

from torch import Tensor

from core.batch import Source
from core.errors import ConfigError, DataError
from core.masks import length_mask


def read_frames(source: Source, source_size: int, least: int) -> Tensor:
    """Returns a source's frames (B, S, F), zero beyond each length, whatever stood there.

    Args:
        source: frames (B, S, F) and their number (B,).
        source_size: the F that the encoder was made for.
        least: the shortest source that gives a state, in frames.

    Raises:
        ConfigError: frames of another size.
        DataError: a source that is too short.
    """
    if source.values.dim() != 3 or source.values.size(2) != source_size:
        raise ConfigError(
            f"the encoder reads frames (B, S, {source_size}), got values of shape {tuple(source.values.shape)}: "
            f"give it frames of {source_size} features, or make it with the source_size of these"
        )
    shortest = int(source.lengths.min()) if len(source) else least
    if shortest < least:
        raise DataError(
            f"a source of {shortest} frames is too short for this encoder, which needs at least {least}: "
            f"leave it out, or pad the recording with silence"
        )
    # Filled, not multiplied: what stands in the padding may be NaN, and 0 * NaN is NaN, in the gradient too.
    mask = length_mask(source.lengths, source.values.size(1))
    return source.values.masked_fill(~mask.unsqueeze(2), 0.0)

"""From one sample rate to another.

Letters: S samples.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from torchaudio.transforms import Resample

# A filter has as many phases as the new rate over the common divisor: 16,000 for 44,099 Hz to 16 kHz, 3 GB of taps.
# With at most so many the ratio is off by less than one in this number squared for most rates, and always less than
# one in this number.
MAX_PHASES = 1000


@lru_cache(maxsize=1024)
def _ratio(sample_rate: int, new_rate: int) -> Fraction:
    """The new rate by the old one."""
    ratio = Fraction(new_rate, sample_rate)
    if ratio.numerator <= MAX_PHASES:
        return ratio
    return 1 / (1 / ratio).limit_denominator(MAX_PHASES)


@lru_cache(maxsize=32)
def _filter(ratio: Fraction) -> Resample:
    """A windowed sinc: 32 zero crossings a side, Kaiser window with -90 dB beside the passband (beta 9)."""
    from torchaudio.transforms import Resample

    return Resample(
        ratio.denominator,
        ratio.numerator,
        resampling_method="sinc_interp_kaiser",
        lowpass_filter_width=32,
        rolloff=0.93,
        beta=9.0,
    )


def resample(samples: Tensor, sample_rate: int, new_rate: int) -> Tensor:
    """Resamples (..., S) float32 to (..., `resampled_length(S, ...)`); the filters are kept for the next call."""
    if sample_rate == new_rate:
        return samples
    resampled: Tensor = _filter(_ratio(sample_rate, new_rate))(samples)
    return resampled


def resampled_length(frames: int, sample_rate: int, new_rate: int) -> int:
    """The number of samples that `resample` makes of so many, rounded up."""
    ratio = _ratio(sample_rate, new_rate)
    return -(-frames * ratio.numerator // ratio.denominator)

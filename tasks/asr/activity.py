"""Where in a recording somebody speaks: a decision by energy and spectrum, without a model.

A frame is *active* where its spectrum stands out of the recording's own background (the long-term spectral divergence
of Ramírez et al. 2004, section 2), and *speech* where its spectrum is uneven besides, as vowels make it. So neither
silence nor any steady sound (noise of whatever colour, hum, a fan) nor bursts of white noise are speech.

Limits: music, clicks, animals and a babble of voices stand out and are uneven: they count as speech. A background is
taken for each half minute: where it gets louder within one, the louder part counts as active.
Speech that is hardly as loud as the noise (below about 0 dB) gets lost, and so does a vowel held without a change.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from core.errors import ConfigError, DataError

WINDOW_SECONDS = 0.032
HOP_SECONDS = 0.01
SMOOTHED_FRAMES = 7  # long enough that noise's own flutter stays below the thresholds, shorter than a syllable
BAND_HERTZ = 250.0
HIGHEST_HERTZ = 8000.0
TELEPHONE_HERTZ = (300.0, 3400.0)  # all recordings of speech have these, resampled ones perhaps nothing beyond
BLOCK_FRAMES = 4096  # bounds the memory that a recording of hours takes
SECTION_FRAMES = 3000  # each has a background of its own
BACKGROUND_SHARE = 0.1  # the share of frames that are taken for background in each band


@dataclass(frozen=True)
class ActivityOptions:
    """When a frame counts as speech.

    Attributes:
        floor_db: frames below this level are silence; dB relative to full scale (16-bit's last bit is at -96).
        divergence_db: how far a frame's spectrum must stand out of the background's.
        flatness_db: how far below its arithmetic mean the geometric mean of a spectrum must lie; white noise is at
            nearly 0, vowels at -10.
    """

    floor_db: float = -85.0
    divergence_db: float = 6.0
    flatness_db: float = -1.5

    def __post_init__(self) -> None:
        for name in ("floor_db", "flatness_db"):
            if getattr(self, name) >= 0:
                raise ConfigError(f"segments.activity.{name} must be below 0, got {getattr(self, name)}")
        if self.divergence_db <= 0:
            raise ConfigError(f"segments.activity.divergence_db must be above 0, got {self.divergence_db}")


@dataclass(frozen=True)
class Activity:
    """What was found, by frame.

    Attributes:
        level: (F,) of the frame, in dB relative to full scale.
        active: (F,) whether something stands out of the background.
        speech: (F,) whether that has a voice's spectrum; a part of `active`.
        hop: from one frame to the next, in samples; frame i is centred on sample i * hop + hop // 2.
    """

    level: Tensor
    active: Tensor
    speech: Tensor
    hop: int


def find_speech(waveform: Tensor, sample_rate: int, options: ActivityOptions | None = None) -> Activity:
    """Decides for each frame of 10 ms.

    Args:
        waveform: (S,) in [-1, 1]; S may be 0.
        sample_rate: in Hz.
        options: the thresholds.

    Raises:
        DataError: the waveform isn't one channel of finite samples, or the rate isn't above 2,000 Hz.
    """
    _check(waveform, sample_rate)
    options = options or ActivityOptions()
    hop = int(HOP_SECONDS * sample_rate)
    if not waveform.numel():
        nothing = torch.zeros(0, dtype=torch.bool, device=waveform.device)
        return Activity(waveform.detach().float(), nothing, nothing, hop)
    bands, level, telephone = _spectrum(waveform.detach().float(), sample_rate, hop)
    loud = level > options.floor_db
    if not loud.any():
        return Activity(level, loud, loud, hop)
    active = loud & (_divergence(bands, loud) > options.divergence_db)
    uneven = _flatness(bands[:, telephone]) < options.flatness_db
    return Activity(level, active, active & uneven, hop)


def _check(waveform: Tensor, sample_rate: int) -> None:
    if waveform.dim() != 1 or not waveform.is_floating_point():
        raise DataError(
            f"a waveform is one channel of floating-point samples (S,), got {waveform.dtype} {tuple(waveform.shape)}: "
            "mix the channels first"
        )
    if sample_rate <= 2000:
        raise DataError(f"speech needs a sample rate above 2000 Hz, got {sample_rate}")
    if not waveform.isfinite().all():
        raise DataError("the waveform has samples that aren't finite: the file is damaged, or wasn't decoded rightly")


def _spectrum(waveform: Tensor, sample_rate: int, hop: int) -> tuple[Tensor, Tensor, Tensor]:
    """The power by frame and band (F, N), the level (F,) in dB, and which bands (N,) a telephone lets through."""
    size = round(WINDOW_SECONDS * sample_rate)
    window = torch.hann_window(size, device=waveform.device)
    of_bin, telephone = _bands(size, sample_rate, waveform.device)
    scale = 2 / (size * window.square().sum())  # a frame's bins then add up to its mean square (Parseval)
    whole = F.pad(waveform, (0, max(size - waveform.numel(), 0))).unfold(0, size, hop)  # (f, size)
    blocks = (whole[first : first + BLOCK_FRAMES] for first in range(0, len(whole), BLOCK_FRAMES))
    powers = [torch.fft.rfft(frames * window).abs().square() * scale @ of_bin for frames in blocks]
    # Windows that stick out of the recording would hear its edges as clicks: the outermost whole ones stand for them.
    num_frames = -(-waveform.numel() // hop)
    nearest = torch.arange(num_frames, device=waveform.device) - (size - hop) // 2 // hop
    bands = torch.cat(powers)[nearest.clamp(0, len(whole) - 1)]
    level = 10 * bands.sum(1).clamp_min(1e-12).log10()
    return _smooth(bands), level, telephone


def _bands(size: int, sample_rate: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which bin belongs to which band (bins, N), 0 or 1, and which bands lie in the telephone's range (N,)."""
    lowest, highest = 100.0, min(HIGHEST_HERTZ, sample_rate / 2)
    count = max(int((highest - lowest) / BAND_HERTZ), 1)
    bins = torch.fft.rfftfreq(size, 1 / sample_rate, device=device)
    band = ((bins - lowest) / BAND_HERTZ).floor().long()
    of_bin = (band[:, None] == torch.arange(count, device=device)).float()
    edges = lowest + BAND_HERTZ * torch.arange(count + 1, device=device)
    telephone = (edges[:-1] >= TELEPHONE_HERTZ[0]) & (edges[1:] <= TELEPHONE_HERTZ[1])
    return of_bin, telephone


def _smooth(bands: Tensor) -> Tensor:
    """The mean over neighbouring frames, (F, N) to (F, N)."""
    means = F.avg_pool1d(bands.T, SMOOTHED_FRAMES, stride=1, padding=SMOOTHED_FRAMES // 2, count_include_pad=False)
    return means.T


def _divergence(bands: Tensor, loud: Tensor) -> Tensor:
    """How far each frame stands out of the background, (F,) in dB: the mean over bands of power over background."""
    count = max(len(bands) // SECTION_FRAMES, 1)
    sections = zip(bands.tensor_split(count), loud.tensor_split(count), strict=True)
    ratios = [section / _background(section[where]) for section, where in sections]
    return 10 * torch.cat(ratios).mean(1).clamp_min(1e-12).log10()


def _background(bands: Tensor) -> Tensor:
    """The power (N,) that a few of the frames (F, N) stay below, of which there may be none."""
    if not len(bands):
        return bands.new_ones(bands.size(1))
    background = bands.kthvalue(1 + int(BACKGROUND_SHARE * (len(bands) - 1)), dim=0).values
    # Where a band is empty (beyond the bandwidth of a telephone), the last bits' flutter must not count as speech.
    return background.clamp_min(background.max() * 1e-6).clamp_min(1e-11)


def _flatness(bands: Tensor) -> Tensor:
    """The geometric mean over bands below the arithmetic one, (F,) in dB: 0 for an even spectrum."""
    decibels = 10 * bands.clamp_min(1e-12).log10()
    return decibels.mean(1) - 10 * bands.mean(1).clamp_min(1e-12).log10()

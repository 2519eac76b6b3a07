"""Log-mel features: the energy of a sound by time and by pitch.

Letters: B batch, S samples, F frames, W samples of a window, M mel filters, N bins of the spectrum.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.batch import FrameBatch, Source
from core.errors import ConfigError
from core.masks import length_mask

MelScale = Literal["htk", "slaney"]


@dataclass(frozen=True)
class MelOptions:
    """What the features are. Contradicting options raise at construction.

    Attributes:
        n_mels: number M of mel filters.
        window: length of the Hann window in milliseconds.
        hop: from one frame's centre to the next one's, in milliseconds.
        fmin: where the lowest filter begins, in Hz.
        fmax: where the highest filter ends, in Hz; None for half the sample rate.
        mel_scale: HTK's formula with filters of height one, or Slaney's with filters of equal area (librosa, Whisper).
        preemphasis: each sample less this share of the one before, which lifts the high frequencies; 0 for none.
        log_floor: the least energy of a filter, for samples in [-1, 1]: lower ones are silence.
    """

    n_mels: int = 80
    window: float = 25.0
    hop: float = 10.0
    fmin: float = 20.0
    fmax: float | None = None
    mel_scale: MelScale = "htk"
    preemphasis: float = 0.97
    log_floor: float = 1e-10

    def __post_init__(self) -> None:
        if self.n_mels < 1:
            raise ConfigError(f"model.frontend.n_mels must be at least 1, got {self.n_mels}")
        if not 0 < self.hop <= self.window:
            raise ConfigError(
                f"model.frontend.hop must be above 0 ms and at most model.frontend.window, {self.window} ms, so that "
                f"no sample is left out; got {self.hop}"
            )
        if not 0 <= self.fmin < (float("inf") if self.fmax is None else self.fmax):
            raise ConfigError(
                f"model.frontend.fmin must be at least 0 Hz and below model.frontend.fmax, {self.fmax}; got {self.fmin}"
            )
        if self.mel_scale not in get_args(MelScale):
            raise ConfigError(f"model.frontend.mel_scale must be htk or slaney, got {self.mel_scale!r}")
        if not 0 <= self.preemphasis < 1:
            raise ConfigError(
                f"model.frontend.preemphasis must be at least 0 and below 1 (0.97 is usual), got {self.preemphasis}"
            )
        if not self.log_floor > 0:
            raise ConfigError(f"model.frontend.log_floor must be above 0 (1e-10 is usual), got {self.log_floor}")


class LogMel(nn.Module):
    """Turns samples into the natural logarithms of mel-filtered power spectra.

    Frame t is centred at sample t * hop, and there is one for each hop that the utterance begins: their number is a
    function of its length alone. Samples beyond an utterance's length, and before its first, count as zeros, so
    that no frame sees padding. With preemphasis 0 it gives what `torchaudio.transforms.MelSpectrogram` does with
    `pad_mode="constant"`, which makes one frame more where the hop divides the length. Always in float32.

    Args:
        sample_rate: of the samples, in Hz.
        options: what the features are.

    Raises:
        ConfigError: fmax is above half the sample rate, a hop is shorter than a sample, a filter holds no bin of the
            spectrum.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate: int, options: MelOptions = MelOptions()) -> None:
        super().__init__()
        self.sample_rate, self.options = sample_rate, options
        self.window_size = round(options.window * sample_rate / 1000)
        self.hop_size = round(options.hop * sample_rate / 1000)
        if self.hop_size < 1:
            raise ConfigError(f"model.frontend.hop is {options.hop} ms, less than one sample at {sample_rate} Hz")
        filters = mel_filters(sample_rate, self.window_size, options)
        self.fft_size = 2 * (filters.size(0) - 1)
        # They follow from the options: a checkpoint needn't carry them.
        self.register_buffer("window", torch.hann_window(self.window_size), persistent=False)  # (W,)
        self.register_buffer("filters", filters, persistent=False)  # (N, M)

    def frames(self, samples: Tensor) -> Tensor:
        """The numbers of frames that utterances of so many samples have: integers of any shape."""
        return (samples + self.hop_size - 1) // self.hop_size

    def forward(self, source: Source) -> FrameBatch:
        """Computes the features (B, F, M) of samples (B, S); zero beyond each length, which counts frames."""
        with torch.autocast(source.values.device.type, enabled=False):
            windows = self._windows(self._emphasised(source))  # (B, F, W)
            # An utterance at a time stays within a CPU's cache: up to three times faster.
            rows = 1 if windows.device.type == "cpu" else len(windows)
            energies = [self._energies(each) for each in torch.split(windows, rows)]
            features = torch.cat(energies).clamp_min(self.options.log_floor).log()
        lengths = self.frames(source.lengths)
        inside = length_mask(lengths, features.size(1)).unsqueeze(2)
        return FrameBatch(features.masked_fill(~inside, 0.0), lengths)

    def _emphasised(self, source: Source) -> Tensor:
        """The samples (B, S) with their high frequencies lifted, and zeros beyond each length."""
        samples = source.values.float()
        if not samples.size(1):  # nothing but empty sounds: a sample of padding spares the transform a special case
            samples = functional.pad(samples, (0, 1))
        if self.options.preemphasis:
            samples = samples - self.options.preemphasis * functional.pad(samples, (1, 0))[:, :-1]
        return samples.masked_fill(~length_mask(source.lengths, samples.size(1)), 0.0)

    def _windows(self, samples: Tensor) -> Tensor:
        """A view of samples (B, S) by frames (B, F, W)."""
        size = samples.size(1)
        number = (size + self.hop_size - 1) // self.hop_size
        before = self.window_size // 2
        behind = (number - 1) * self.hop_size + self.window_size - before - size
        return functional.pad(samples, (before, behind)).unfold(1, self.window_size, self.hop_size)

    def _energies(self, windows: Tensor) -> Tensor:
        """The energy (B, F, M) that each filter lets through."""
        spectrum = torch.fft.rfft(windows * self.window, self.fft_size)  # (B, F, N)
        energies: Tensor = (spectrum.real.square() + spectrum.imag.square()) @ self.filters
        return energies


def mel_filters(sample_rate: int, window_size: int, options: MelOptions) -> Tensor:
    """Makes triangular filters (N, M), for the smallest power of two that holds the window and leaves none empty.

    Raises:
        ConfigError: fmax is above half the sample rate, or the filters are too narrow for spectra of eight windows.
    """
    from torchaudio.functional import melscale_fbanks

    fmax = sample_rate / 2 if options.fmax is None else options.fmax
    if not options.fmin < fmax <= sample_rate / 2:
        raise ConfigError(
            f"model.frontend.fmin={options.fmin} and model.frontend.fmax={options.fmax} don't fit a sample rate of "
            f"{sample_rate} Hz, which holds frequencies up to {sample_rate / 2} Hz"
        )
    norm = "slaney" if options.mel_scale == "slaney" else None
    least = max(window_size - 1, 1).bit_length()
    for exponent in range(least, least + 4):
        bins = 2**exponent // 2 + 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about empty filters: we look ourselves
            filters: Tensor = melscale_fbanks(
                bins, options.fmin, fmax, options.n_mels, sample_rate, norm, options.mel_scale
            )
        if bool((filters.amax(dim=0) > 0).all()):
            return filters
    raise ConfigError(
        f"model.frontend.n_mels={options.n_mels} filters between {options.fmin} and {fmax} Hz are narrower than what a "
        f"window of {options.window} ms tells apart: use fewer of them"
    )

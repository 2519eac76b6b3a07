"""Records sentences: synthesis, the level and the pauses of a real recording, some noise, a FLAC file at 16 kHz.

A process of its own: `python -m tasks.asr.builtin_sound < requests`, a request a line. A fresh one for each bundle of
requests makes the same files each time (see `tasks.asr.espeak`), and it starts fast: NumPy is all that it needs.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from math import gcd

import numpy as np
from numpy.typing import NDArray

from tasks.asr.espeak import Manner, sample_rate, say

SAMPLE_RATE = 16_000
PAUSE = (0.05, 0.4)  # seconds of nearly nothing, before and after
PEAK = (-20.0, -2.0)  # of the speech, in decibels below full scale
NOISE = (20.0, 40.0)  # of speech over noise, in decibels
TILT = (0.0, 1.5)  # the noise's power falls as frequency to this power: white to nearly brown

Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Request:
    """One utterance to be recorded.

    Attributes:
        audio: path of the file.
        text: what is said.
        manner: how.
        seed: of the level, the pauses and the noise.
    """

    audio: str
    text: str
    manner: Manner
    seed: tuple[int, ...]

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Request:
        """Reads `to_json`."""
        values = json.loads(line)
        return cls(values["audio"], values["text"], Manner(**values["manner"]), tuple(values["seed"]))


def resample(samples: Samples, rate: int, target_rate: int) -> Samples:
    """Changes the sample rate by cutting the spectrum, as sharp as a filter can be.

    Args:
        samples: (S,), silent at both ends: it is taken as one period.
        rate: of the samples, a second.
        target_rate: what it shall be, no higher.

    Returns:
        (ceil(S * target_rate / rate),)
    """
    common = gcd(rate, target_rate)
    periods = -(-len(samples) // (rate // common))
    size, target_size = periods * (rate // common), periods * (target_rate // common)
    spectrum = np.fft.rfft(samples, size)[: target_size // 2 + 1]
    resampled: Samples = np.fft.irfft(spectrum, target_size) * (target_size / size)
    return resampled[: -(-len(samples) * target_rate // rate)]


def noise(size: int, tilt: float, rng: np.random.Generator) -> Samples:
    """Noise of unit power whose power falls with frequency to the power `tilt`, (size,)."""
    fast = 2 ** (size - 1).bit_length()  # a transform of an odd size takes ten times as long
    spectrum = np.fft.rfft(rng.standard_normal(fast))
    spectrum[0] = 0  # no constant
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-tilt / 2)
    shaped: Samples = np.fft.irfft(spectrum, fast)[:size]
    return shaped * (1 / float(np.sqrt(np.mean(shaped**2))))


def as_recorded(speech: Samples, rng: np.random.Generator) -> Samples:
    """Gives clean speech (S,) at 16 kHz a level, pauses around it and noise; the result is in [-1, 1]."""
    speech = speech * (_decibels(rng.uniform(*PEAK)) / np.abs(speech).max())
    power = np.sqrt(np.mean(speech**2))
    before, after = (round(SAMPLE_RATE * seconds) for seconds in rng.uniform(*PAUSE, size=2))
    padded = np.pad(speech, (before, after))
    loudness = power * _decibels(-rng.uniform(*NOISE))
    noisy: Samples = padded + loudness * noise(len(padded), rng.uniform(*TILT), rng)
    return noisy.clip(-1, 1)


def _decibels(value: float) -> float:
    factor: float = 10 ** (value / 20)
    return factor


def record(request: Request) -> int:
    """Writes one file, 16 bits a sample.

    Returns:
        its length in samples.
    """
    import soundfile

    spoken = say(request.text, request.manner) / 2**15
    samples = as_recorded(resample(spoken, sample_rate(), SAMPLE_RATE), np.random.default_rng(request.seed))
    soundfile.write(request.audio, samples, SAMPLE_RATE, subtype="PCM_16")
    return len(samples)


if __name__ == "__main__":
    for line in sys.stdin:
        print(record(Request.from_json(line)))

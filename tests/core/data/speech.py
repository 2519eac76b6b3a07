"""Sound for the tests of speech corpora."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def write_noise(path: Path, seconds: float = 1.0, rate: int = 16000) -> Path:
    """Writes white noise, and its folders where there are none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(1).uniform(-0.1, 0.1, round(seconds * rate)).astype(np.float32)
    soundfile.write(path, samples, rate)
    return path

"""Sounds for tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from core.batch import AudioBatch


def speech_source(lengths: Sequence[int], sample_rate: int = 16000, seed: int = 0) -> AudioBatch:
    """Random sounds of so many samples: a voice of three harmonics that comes and goes, and noise; zeros beyond."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(lengths)
    time = torch.arange(int(sizes.max())) / sample_rate  # in seconds
    pitch = 80 + 170 * torch.rand(len(lengths), 1, 1, generator=generator)  # in Hz
    harmonics = torch.sin(2 * math.pi * pitch * torch.tensor([[1.0], [2.0], [5.0]]) * time).sum(1)
    loudness = torch.sin(2 * math.pi * 3 * time).square()
    noise = torch.randn(len(lengths), len(time), generator=generator)
    values = 0.1 * loudness * harmonics + 0.01 * noise
    return AudioBatch(values.masked_fill(torch.arange(len(time)) >= sizes.unsqueeze(1), 0.0), sizes)

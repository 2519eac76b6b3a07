"""Random numbers that depend on what they are for, and on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor

from core.batch import Source


def _signed(value: int) -> int:
    """The same 64 bits as a number that int64 holds."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


# SplitMix64 (Steele, Lea and Flood 2014): the increment and the two multipliers
_GAMMA = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def content_keys(source: Source) -> list[int]:
    """A key (64 bits) for each source, made from its content alone: equal sources have equal keys."""
    keys = []
    for values, length in zip(source.values.cpu(), source.lengths.tolist(), strict=True):
        content = values[:length].contiguous().flatten()
        digest = blake2b(content.view(torch.uint8).numpy().tobytes(), digest_size=8).digest()
        keys.append(_signed(int.from_bytes(digest, "little")))
    return keys


def seeds_of(seed: int, keys: Sequence[int], samples: int) -> Tensor:
    """A seed for each sample of each source: (B * samples,) int64."""
    start = _mix(torch.tensor([_signed(seed)], dtype=torch.int64))
    sources = _mix(start + torch.tensor([_signed(key) for key in keys], dtype=torch.int64))
    numbers = torch.arange(1, samples + 1, dtype=torch.int64) * _GAMMA
    return _mix((sources.unsqueeze(1) + numbers).flatten())


def uniform(seeds: Tensor, step: int) -> Tensor:
    """The step-th number of each seed's SplitMix64 stream: (N,) float32 in [0, 1), the same on every device."""
    bits = _mix(seeds + _signed((step + 1) * _GAMMA))
    return _shift(bits, 41).to(torch.float32) * 2.0**-23


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shifts right without copying the sign bit."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)

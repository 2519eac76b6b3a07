"""Reading sound: any file, or a segment of one, as mono samples at the rate that is wanted.

Letters: S samples, C channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from os import fstat

import numpy as np
import torch
from torch import Tensor

from core.audio.clip import AudioClip, AudioInfo, segment
from core.audio.decoders import DecodingError, Sound, open_sound
from core.audio.resample import resample
from core.errors import DataError

__all__ = ["AudioClip", "AudioInfo", "probe", "read_audio", "read_native"]

# Headers of compressed files may be off by a block; what lacks more than this, in seconds, is truncated.
MISSING = 0.1
# A WAV header that can't know its length is one of a stream: 0, 0xFFFFFFFF, or sox's 0x7FFFF024.
STREAM = 0x7FFFF000
# In bytes: some writers count a WAV's own header wrongly.
MISCOUNT = 1024


def probe(clip: AudioClip) -> AudioInfo:
    """Reads the header of a clip's file, whatever segment of it the clip is.

    Raises:
        DataError: the file is missing, empty, a WAV that was cut, or no sound that can be read.
    """
    with _opened(clip) as sound:
        return sound.info


def read_audio(clip: AudioClip, sample_rate: int) -> Tensor:
    """Reads a clip as mono float32 (S,), the mean of its channels, at a sample rate in Hz.

    Raises:
        DataError: see `read_native`.
    """
    samples, native = read_native(clip)
    return resample(samples, native, sample_rate)


def read_native(clip: AudioClip) -> tuple[Tensor, int]:
    """Reads a clip as mono float32 (S,), the mean of its channels, at the file's own rate, and that rate.

    Only the segment is read where the format can seek. Integer formats are scaled to [-1, 1].

    Raises:
        DataError: the file is missing, empty, truncated, damaged or no sound that can be read; the segment lies beyond
            its end; a sample isn't finite.
    """
    with _opened(clip) as sound:
        rate = sound.info.sample_rate
        start, frames = segment(clip, sound.info)
        samples = sound.read(start, frames)  # (S, C)
    if not len(samples) or len(samples) < frames - MISSING * rate:
        found = f"its header says {frames / rate:g} s, {len(samples) / rate:g} s can be decoded"
        raise DataError(f"truncated or damaged: {found}", clip.name)
    if not np.isfinite(samples).all():
        raise DataError("has samples that aren't finite numbers", clip.name)
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1)
    return torch.from_numpy(np.ascontiguousarray(mono)), rate


@contextmanager
def _opened(clip: AudioClip) -> Iterator[Sound]:
    _check_bytes(clip)
    file = clip.data if clip.data is not None else clip.path
    assert file is not None, "a clip has one of them"
    try:
        with closing(open_sound(file)) as sound:
            yield sound
    except DecodingError as error:
        raise DataError(f"can't be decoded: {error}", clip.name) from error


def _check_bytes(clip: AudioClip) -> None:
    """Looks at what libsndfile has no words for, or would take silently.

    Raises:
        DataError: the file is missing, empty, a directory, without a header, or a WAV that was cut.
    """
    if clip.path is not None and clip.path.suffix.lower() == ".raw":
        raise DataError("raw samples have no header: convert the file to wav or flac", clip.name)
    try:
        head, size = _head(clip)
    except FileNotFoundError:
        raise DataError("there is no such file", clip.name) from None
    except IsADirectoryError:
        raise DataError("is a directory, not a sound file", clip.name) from None
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror}", clip.name) from error
    except ValueError as error:  # a NUL in its name, or what isn't Unicode
        raise DataError(f"no file can have this name: {error}", ascii(clip.name)) from None
    if not size:
        raise DataError("the file is empty", clip.name)
    promised = 8 + int.from_bytes(head[4:8], "little")
    if head[:4] == b"RIFF" and 8 < promised < STREAM and promised > size + MISCOUNT:
        raise DataError(f"truncated: its header says {promised:,} bytes, the file has {size:,}", clip.name)


def _head(clip: AudioClip) -> tuple[bytes, int]:
    """A file's first bytes, and its size."""
    if clip.data is not None:
        return clip.data[:8], len(clip.data)
    assert clip.path is not None, "a clip has a path or data"
    with open(clip.path, "rb") as file:
        return file.read(8), fstat(file.fileno()).st_size

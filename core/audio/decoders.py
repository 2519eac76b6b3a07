"""Decoders of sound files: libsndfile, and for what it can't read PyAV or torchcodec, where one is installed.

Letters: S samples, C channels.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile
from numpy.typing import NDArray

from core.audio.clip import AudioInfo

Samples = NDArray[np.float32]  # (S, C)

CONVERT = "if it is sound, convert it: ffmpeg -i IN -ac 1 OUT.flac"
MEND = f"`pip install av` reads more formats; or {CONVERT}"


class DecodingError(Exception):
    """A decoder can't read the sound; the message is one line that says why."""


class Sound(Protocol):
    """A sound file that is open for reading. Its methods raise DecodingError."""

    info: AudioInfo

    def read(self, start: int, frames: int) -> Samples:
        """Reads so many frames (S, C) from `start` on; fewer where the sound ends before."""

    def close(self) -> None:
        """Closes the file."""


def open_sound(file: Path | bytes) -> Sound:
    """Opens a sound file with libsndfile, or else with the first other decoder that is installed.

    Raises:
        DecodingError: none can read it.
    """
    try:
        return LibsndfileSound(file)
    except DecodingError as error:
        reason = f"libsndfile can't read it ({error})"
    for package, decoder in (("av", PyAvSound), ("torchcodec", TorchcodecSound)):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError:
            continue
        except (ImportError, OSError, RuntimeError) as error:  # torchcodec without the FFmpeg that it needs
            raise DecodingError(f"{reason}, and {package} doesn't load ({_first_line(error)}); {MEND}") from error
        try:
            return decoder(file)
        except DecodingError as error:
            raise DecodingError(f"{reason}, nor can {package} ({error}); {CONVERT}") from error
    raise DecodingError(f"{reason}; {MEND}")


def _first_line(error: Exception) -> str:
    return (str(error) or repr(error)).splitlines()[0].rstrip(".")


class LibsndfileSound:
    """A file through libsndfile: wav, flac, ogg, opus, mp3, aiff, au, sph and others."""

    def __init__(self, file: Path | bytes) -> None:
        try:
            self._file = soundfile.SoundFile(BytesIO(file) if isinstance(file, bytes) else str(file))
        except soundfile.LibsndfileError as error:
            raise DecodingError(error.error_string.rstrip(".")) from error
        if self._file.frames >= 2**62:  # a flac that was written into a pipe
            raise DecodingError("its header doesn't say how long it is")
        self.info = AudioInfo(self._file.samplerate, self._file.frames, self._file.channels)

    def read(self, start: int, frames: int) -> Samples:
        """Reads so many frames (S, C) from `start` on; fewer where the sound ends before."""
        # After a seek MP3 lacks bits that stand in the frames before, and an Opus decoder first has to converge.
        needs_past = self._file.format == "MP3" or self._file.subtype == "OPUS"
        warm_up = min(start, self.info.sample_rate) if needs_past else 0
        try:
            if start:
                self._file.seek(start - warm_up)
            samples: Samples = self._file.read(frames + warm_up, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise DecodingError(error.error_string.rstrip(".")) from error
        return samples[warm_up:]

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class PyAvSound:
    """A file's first audio stream through PyAV.

    Seeking in such files lands on packets, not on samples: all is decoded from the beginning, and is exact.
    """

    def __init__(self, file: Path | bytes) -> None:
        self._av: Any = importlib.import_module("av")
        self._file = file
        try:
            self.info = self._probe()
        except self._av.FFmpegError as error:
            raise DecodingError(_first_line(error)) from error

    def _container(self) -> Any:
        return self._av.open(str(self._file) if isinstance(self._file, Path) else BytesIO(self._file))

    def _probe(self) -> AudioInfo:
        with self._container() as container:
            if not container.streams.audio:
                raise DecodingError("it has no audio stream")
            stream = container.streams.audio[0]
            if stream.duration is not None:
                frames = round(stream.duration * stream.time_base * stream.rate)
            elif container.duration is not None:
                frames = round(container.duration * stream.rate / self._av.time_base)
            else:
                frames = sum(block.shape[1] for block in self._blocks())
            return AudioInfo(stream.rate, frames, stream.channels)

    def _blocks(self) -> Iterator[Samples]:
        """The sound from its beginning in blocks (C, S)."""
        with self._container() as container:
            convert = self._av.AudioResampler(format="fltp").resample  # of the sample format alone
            for frame in container.decode(audio=0):
                yield from (block.to_ndarray() for block in convert(frame))
            yield from (block.to_ndarray() for block in convert(None))

    def read(self, start: int, frames: int) -> Samples:
        """Reads so many frames (S, C) from `start` on; fewer where the sound ends before."""
        blocks, position, end = [np.zeros((self.info.channels, 0), np.float32)], 0, start + frames
        try:
            for block in self._blocks():
                blocks.append(block[:, max(0, start - position) : max(0, end - position)])
                position += block.shape[1]
                if position >= end:
                    break
        except self._av.FFmpegError as error:
            raise DecodingError(_first_line(error)) from error
        samples: Samples = np.concatenate(blocks, axis=1).T
        return samples

    def close(self) -> None:
        """Nothing stays open between reads."""


class TorchcodecSound:
    """A file's best audio stream through torchcodec, which decodes from the beginning too."""

    def __init__(self, file: Path | bytes) -> None:
        self._decoders: Any = importlib.import_module("torchcodec.decoders")
        self._file = file
        try:
            metadata = self._decoders.AudioDecoder(file).metadata
            seconds, rate = metadata.duration_seconds, int(metadata.sample_rate)
            frames = len(self._all()) if seconds is None else round(seconds * rate)
        except (RuntimeError, ValueError) as error:
            raise DecodingError(_first_line(error)) from error
        self.info = AudioInfo(rate, frames, int(metadata.num_channels))

    def _all(self) -> Samples:
        samples: Samples = self._decoders.AudioDecoder(self._file).get_all_samples().data.T.numpy()
        return samples

    def read(self, start: int, frames: int) -> Samples:
        """Reads so many frames (S, C) from `start` on; fewer where the sound ends before."""
        try:
            samples: Samples = self._all()[start : start + frames]
        except (RuntimeError, ValueError) as error:
            raise DecodingError(_first_line(error)) from error
        return samples

    def close(self) -> None:
        """Nothing stays open between reads."""

"""Where a sound is, and what its header says about it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import DataError

# Segment ends come from aligners that round: Kaldi's extract-segments cuts an end that overshoots by as much, too.
OVERSHOOT = 0.5


@dataclass(frozen=True)
class AudioClip:
    """A sound file, or a segment of one.

    Attributes:
        path: the file; beside `data` it is only a name for messages.
        data: the bytes of an encoded file, for sound in memory.
        offset: where the segment starts, in seconds.
        duration: the segment's length in seconds; None for all that follows.

    Raises:
        DataError: neither path nor data; a negative offset; a duration that isn't above 0.
    """

    path: Path | None = None
    data: bytes | None = field(default=None, repr=False)
    offset: float = 0.0
    duration: float | None = None

    def __post_init__(self) -> None:
        if self.path is None and self.data is None:
            raise DataError("a clip needs a path, or the bytes of a file")
        if not (math.isfinite(self.offset) and self.offset >= 0):
            raise DataError(f"offset must be at least 0 seconds, got {self.offset}", self.path)
        if self.duration is not None and not (math.isfinite(self.duration) and self.duration > 0):
            raise DataError(f"duration must be above 0 seconds, got {self.duration}", self.path)

    @property
    def file(self) -> str:
        """The file's name for messages."""
        return f"sound of {len(self.data or b''):,} bytes in memory" if self.path is None else str(self.path)

    @property
    def name(self) -> str:
        """The file's name, and of a segment its place."""
        if not self.offset and self.duration is None:
            return self.file
        end = "the end" if self.duration is None else f"{self.offset + self.duration:g} s"
        return f"{self.file} [{self.offset:g} s to {end}]"


@dataclass(frozen=True)
class AudioInfo:
    """What a sound file holds.

    Attributes:
        sample_rate: samples a second of one channel.
        frames: samples of one channel; of a compressed file it may be an estimate that is off by a block.
        channels: how many there are.
    """

    sample_rate: int
    frames: int
    channels: int

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self.frames / self.sample_rate


def segment(clip: AudioClip, info: AudioInfo) -> tuple[int, int]:
    """The first frame of a clip and the number of its frames; an end that overshoots a little is cut.

    Raises:
        DataError: the segment lies beyond the end of the sound, or holds no frame.
    """
    start = round(clip.offset * info.sample_rate)
    end = info.frames if clip.duration is None else round((clip.offset + clip.duration) * info.sample_rate)
    if start and start >= info.frames:
        raise DataError(f"the segment starts at or beyond the end of the sound, at {info.seconds:g} s", clip.name)
    if end > info.frames + OVERSHOOT * info.sample_rate:
        raise DataError(f"the segment ends beyond the end of the sound, at {info.seconds:g} s", clip.name)
    frames = min(end, info.frames) - start
    if frames < 1:
        raise DataError("there is no sound in it: 0 frames", clip.name)
    return start, frames

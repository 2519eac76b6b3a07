"""Recordings of any length, cut where nobody speaks into segments that a recogniser takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor
from torch.nn import functional as F

from core.errors import ConfigError
from tasks.asr.activity import HOP_SECONDS, Activity, ActivityOptions, find_speech

CUT_FRAMES = 15  # a cut is as quiet as these frames around it are: shorter gaps are the closures of stops


@dataclass(frozen=True)
class SegmentOptions:
    """How a recording is cut.

    Attributes:
        max_seconds: the longest segment; choose it no longer than what the model was trained on.
        overlap_seconds: how much two neighbours share where no pause was found between them.
        max_pause_seconds: a longer pause ends a segment, and belongs to none but for its edges.
        padding_seconds: what is kept of the pause before and after speech: soft sounds aren't told from the background.
        min_speech_seconds: what is shorter is a noise and no word.
        activity: when a frame counts as speech.
    """

    max_seconds: float = 20.0
    overlap_seconds: float = 2.0
    max_pause_seconds: float = 2.0
    padding_seconds: float = 0.3
    min_speech_seconds: float = 0.08
    activity: ActivityOptions = field(default_factory=ActivityOptions)

    def __post_init__(self) -> None:
        if self.max_seconds < 1:
            raise ConfigError(f"segments.max_seconds must be at least 1, got {self.max_seconds}")
        for name in ("overlap_seconds", "max_pause_seconds", "padding_seconds", "min_speech_seconds"):
            if getattr(self, name) < 0:
                raise ConfigError(f"segments.{name} must be at least 0, got {getattr(self, name)}")
        if self.overlap_seconds > self.max_seconds / 4:
            raise ConfigError(
                f"segments.overlap_seconds must be at most a quarter of max_seconds={self.max_seconds}, "
                f"got {self.overlap_seconds}"
            )


@dataclass(frozen=True)
class Segment:
    """A part of a recording.

    Attributes:
        start: its first sample.
        end: the sample behind its last.
    """

    start: int
    end: int


def segments(waveform: Tensor, sample_rate: int, options: SegmentOptions | None = None) -> list[Segment]:
    """Cuts a recording, in order; nothing comes out of silence and noise alone.

    A recording of at most `max_seconds` with any speech in it is one segment, whole, as it is in a test set. In a
    longer one each stretch of speech with its shorter pauses is a segment; where it is too long, it is cut at its
    quietest place between half of `max_seconds` and the whole. If somebody speaks even there, the two segments
    overlap, and `merge_words` drops what was recognised twice.

    Args:
        waveform: (S,) in [-1, 1]; S may be 0.
        sample_rate: in Hz.
        options: how to cut.

    Raises:
        DataError: the waveform isn't one channel of finite samples, or the rate isn't above 2,000 Hz.
    """
    options = options or SegmentOptions()
    activity = find_speech(waveform, sample_rate, options.activity)
    regions = _regions(activity.speech, options)
    size = waveform.numel()
    if regions and size <= options.max_seconds * sample_rate:
        return [Segment(0, size)]
    cut = [piece for region in regions for piece in _cut(region, activity, options)]
    # The last frame may stick out of the recording.
    return [Segment(start * activity.hop, min(end * activity.hop, size)) for start, end in cut]


def _frames(seconds: float) -> int:
    return round(seconds / HOP_SECONDS)


def _regions(speech: Tensor, options: SegmentOptions) -> list[tuple[int, int]]:
    """Stretches of speech (start, end) in frames, padded, those with a short pause between them joined."""
    regions: list[tuple[int, int]] = []
    for start, end in _runs(speech):
        if end - start < _frames(options.min_speech_seconds):
            continue
        if regions and start - regions[-1][1] <= _frames(options.max_pause_seconds):
            regions[-1] = (regions[-1][0], end)
        else:
            regions.append((start, end))
    return _padded(regions, _frames(options.padding_seconds), len(speech))


def _runs(speech: Tensor) -> list[tuple[int, int]]:
    """Where a mask (F,) is true without a break: (start, end)."""
    steps = F.pad(speech.int(), (1, 1)).diff()
    starts, ends = (steps == 1).nonzero(), (steps == -1).nonzero()
    return list(zip(starts.flatten().tolist(), ends.flatten().tolist(), strict=True))


def _padded(regions: list[tuple[int, int]], padding: int, num_frames: int) -> list[tuple[int, int]]:
    """Each region with some frames of the pauses around it, at most half of a pause that two of them share."""
    middles = [(end + start) // 2 for (_, end), (start, _) in pairwise(regions)]
    limits = pairwise([0, *middles, num_frames])
    return [
        (max(start - padding, before), min(end + padding, after))
        for (start, end), (before, after) in zip(regions, limits, strict=False)
    ]


def _cut(region: tuple[int, int], activity: Activity, options: SegmentOptions) -> Iterator[tuple[int, int]]:
    """Pieces of a region of at most the longest length, in frames."""
    start, end = region
    longest, half = _frames(options.max_seconds), _frames(options.overlap_seconds) // 2
    while end - start > longest:
        # Behind the last cut there stays a quarter of the longest length: a stump would lack its context.
        first, last = start + longest // 2, min(start + longest, end - longest // 4) - half
        place, quiet = _quietest(activity, first, last)
        overlap = 0 if quiet else half
        yield start, place + overlap
        start = place - overlap
    yield start, end


def _quietest(activity: Activity, first: int, last: int) -> tuple[int, bool]:
    """The quietest frame from `first` to `last`, and whether all is background there."""
    margin = CUT_FRAMES // 2
    levels = activity.level[first - margin : last + margin + 1]
    loudest = F.max_pool1d(levels[None], CUT_FRAMES, stride=1)[0]  # (last - first + 1,)
    place = first + int(loudest.argmin())
    return place, not bool(activity.active[place - margin : place + margin + 1].any())

"""The look at a speech corpus before training: what can't be used, and what its manifest has wrong.

Letters: N utterances.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.audio.clip import AudioClip, AudioInfo, segment
from core.audio.read import probe, read_native
from core.audio.resample import resampled_length
from core.data.audio_report import TITLES, AudioReport, Problem, audio_table
from core.data.findings import gather
from core.data.speech import Utterance
from core.errors import ConfigError, DataError

__all__ = ["AudioLimits", "AudioReport", "OnBadExample", "audio_table", "check_utterances"]

OnBadExample = Literal["skip", "raise"]

BAD: tuple[Problem, ...] = ("unreadable", "no sound", "no text")  # what `on_bad_example` is about

TOLERANCE = 0.1  # seconds: how far a claimed duration may be off; many are rounded

THREADS = 8  # they wait for the disk, and libsndfile decodes without the interpreter's lock


@dataclass(frozen=True)
class AudioLimits:
    """How long an utterance may be; others are left out.

    Attributes:
        min_seconds: the shortest.
        max_seconds: the longest; None for no limit.

    Raises:
        ConfigError: the limits contradict each other.
    """

    min_seconds: float = 0.1
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        longest = math.inf if self.max_seconds is None else self.max_seconds
        if not 0 <= self.min_seconds < longest:
            got = f"got {self.min_seconds} and {self.max_seconds}"
            raise ConfigError(f"data.min_seconds must be at least 0 and below data.max_seconds, {got}")


NO_LIMITS = AudioLimits(0.0)


def check_utterances(
    utterances: Sequence[Utterance],
    sample_rate: int,
    limits: AudioLimits | None = None,
    on_bad_example: OnBadExample = "skip",
    empty_is_bad: bool = True,
    decode: bool = False,
) -> tuple[list[Utterance], NDArray[np.int64], AudioReport]:
    """Reads the header of each file once, and leaves out the utterances that can't be used.

    Args:
        utterances: of a split.
        sample_rate: the model's, in Hz.
        limits: of their lengths; None for none.
        on_bad_example: what happens when sound can't be read or a transcript is empty: the utterance is left out, or an
            error names the first of them.
        empty_is_bad: a transcript must have text; in evaluation, silence may have none.
        decode: read all sound and not its header alone. It finds what is damaged further on, and takes a second or two
            for an hour of flac.

    Returns:
        the N utterances that can be used in the corpus's order, with the durations and rates that are true; their
        samples at the model's rate, (N,), for compressed files perhaps off by a block; and what was found in all.

    Raises:
        DataError: there are bad ones, and `on_bad_example` is "raise".
    """
    bad = BAD if empty_is_bad else BAD[:-1]
    dropping = (*bad, "too short", "too long")
    kept: list[Utterance] = []
    lengths: list[int] = []
    found: list[tuple[Problem, str]] = []
    for utterance, info in zip(utterances, _headers(utterances, decode), strict=True):
        problems = list(_problems(utterance, info, sample_rate, limits or NO_LIMITS))
        found += problems
        if isinstance(info, AudioInfo) and not {problem for problem, _ in problems}.intersection(dropping):
            kept.append(replace(utterance, duration=info.seconds, sample_rate=info.sample_rate))
            lengths.append(resampled_length(info.frames, info.sample_rate, sample_rate))
    seconds = sum(utterance.duration or 0 for utterance in kept)
    report = AudioReport(len(utterances), len(kept), seconds / 3600, gather(found, dropping, TITLES))
    if on_bad_example == "raise":
        _raise_bad(report, bad)
    return kept, np.array(lengths, dtype=np.int64), report


def _headers(utterances: Sequence[Utterance], decode: bool) -> list[AudioInfo | DataError]:
    """What is true of each utterance's own segment, or why it can't be read."""
    clips = {_file(utterance): utterance.audio for utterance in utterances}
    with ThreadPoolExecutor(THREADS) as pool:
        files = dict(zip(clips, pool.map(_try_probe, clips.values()), strict=True))
        infos = [_segment_info(utterance.audio, files[_file(utterance)]) for utterance in utterances]
        if decode:
            infos = list(pool.map(_try_decode, [utterance.audio for utterance in utterances], infos))
    return infos


def _file(utterance: Utterance) -> Hashable:
    """What utterances of one file have in common."""
    clip = utterance.audio
    return clip.path if clip.data is None else id(clip.data)


def _try_probe(clip: AudioClip) -> AudioInfo | DataError:
    try:
        return probe(clip)
    except DataError as error:
        return error


def _segment_info(clip: AudioClip, info: AudioInfo | DataError) -> AudioInfo | DataError:
    if isinstance(info, DataError) or not info.frames:
        return info
    try:
        return replace(info, frames=segment(clip, info)[1])
    except DataError as error:
        return error


def _try_decode(clip: AudioClip, info: AudioInfo | DataError) -> AudioInfo | DataError:
    if isinstance(info, DataError) or not info.frames:
        return info
    try:
        return replace(info, frames=len(read_native(clip)[0]))
    except DataError as error:
        return error


def _problems(
    utterance: Utterance, info: AudioInfo | DataError, sample_rate: int, limits: AudioLimits
) -> Iterator[tuple[Problem, str]]:
    """What is wrong with an utterance, and what to tell of it."""
    if not utterance.text.strip():
        yield "no text", utterance.name
    if isinstance(info, DataError):
        yield "unreadable", str(info)
        return
    if not info.frames:
        yield "no sound", utterance.name
        return
    name, seconds = utterance.name, info.seconds
    if seconds < limits.min_seconds:
        yield "too short", f"{name}: {seconds:.3f} s, at least {limits.min_seconds:g} s are wanted"
    if limits.max_seconds is not None and seconds > limits.max_seconds:
        yield "too long", f"{name}: {seconds:.1f} s, at most {limits.max_seconds:g} s are wanted"
    if utterance.sample_rate not in (None, info.sample_rate):
        yield "rate", f"{name}: {info.sample_rate} Hz, claimed are {utterance.sample_rate} Hz"
    if utterance.duration is not None and abs(utterance.duration - seconds) > TOLERANCE:
        yield "duration", f"{name}: {seconds:.2f} s, claimed are {utterance.duration:.2f} s"
    if info.sample_rate != sample_rate:
        yield "resampled", f"from {info.sample_rate} Hz to the model's {sample_rate} Hz"


def _raise_bad(report: AudioReport, bad: Sequence[Problem]) -> None:
    found = {problem: report.findings[problem] for problem in bad if problem in report.findings}
    if found:
        told = "; ".join(f"{each.count} {TITLES[name]} ({'; '.join(each.examples)})" for name, each in found.items())
        raise DataError(f"of {report.utterances} utterances {told}. data.on_bad_example: skip leaves them out")

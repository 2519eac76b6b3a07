"""Transcribing people's recordings: files, directories, standard input; to text, JSON lines or subtitles."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from core.audio.clip import AudioClip
from core.audio.read import read_audio
from core.data.audio_datamodule import AudioDataModule
from core.errors import ConfigError, DataError
from core.inputs import STDIN, files_below
from core.outputs import open_output
from core.predict import Summary
from tasks.asr.module import AsrModule
from tasks.asr.recognise import Recogniser, Transcript
from tasks.asr.segments import SegmentOptions
from tasks.asr.subtitles import srt, vtt

SpeechFormat = Literal["text", "jsonl", "srt", "vtt"]
SUFFIXES: dict[SpeechFormat, str] = {"text": ".txt", "jsonl": ".jsonl", "srt": ".srt", "vtt": ".vtt"}
SOUNDS = (
    ".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au", ".caf", ".sph", ".w64",
    ".m4a", ".mp4", ".aac", ".webm", ".mkv", ".wma", ".amr", ".mov",
)  # fmt: skip
CHUNK_SECONDS = 600.0  # of sound that is in memory at a time, one recording at the least


@dataclass(frozen=True)
class SpeechPredictOptions:
    """What to transcribe, and where to write it.

    Attributes:
        input: a sound file; a directory, whose sound files are read at any depth; "-" for a sound on standard input.
        output: a file; for subtitles of a directory's files, a directory. Without it standard output, or, for the
            subtitles, NAME.hyp.srt beside each file.
        format: "text" has the transcript, behind the file's name and a tab where there are several; "jsonl" has the
            words' times too; "srt" and "vtt" are subtitles. Without it the output's name decides.
        segments: how long recordings are cut.
        pictures: a directory for pictures of the sound with the times of its words, one PNG a recording.
    """

    input: str = STDIN
    output: Path | None = None
    format: SpeechFormat | None = None
    segments: SegmentOptions = field(default_factory=SegmentOptions)
    pictures: Path | None = None

    @property
    def chosen_format(self) -> SpeechFormat:
        """The format that was asked for, or that the output's name tells."""
        by_suffix = {suffix: name for name, suffix in SUFFIXES.items()}
        return self.format or by_suffix.get("" if self.output is None else self.output.suffix, "text")


@dataclass(frozen=True)
class Recording:
    """One sound to transcribe: its name in reports, and where it is."""

    name: str
    clip: AudioClip


@dataclass(frozen=True)
class Outcome:
    """What became of a recording: a transcript, or the reason why there is none."""

    recording: Recording
    transcript: Transcript | None
    sound: Tensor | None = None
    problem: str = ""


def predict_speech(module: AsrModule, data: AudioDataModule, options: SpeechPredictOptions) -> Summary:
    """Transcribes all that the options name; prints a summary on standard error and returns it.

    A file that can't be read is reported, and the others are still transcribed.

    Raises:
        ConfigError: the options exclude each other, or the output would overwrite the input.
        DataError: there is no such input, or no sound in it that can be read.
    """
    module.eval()
    kind, summary = options.chosen_format, Summary(unit="recordings")
    recordings = plan(options)
    times = kind != "text" or options.pictures is not None
    seconds = data.eval_batch_seconds
    outcomes = _outcomes(recordings, Recogniser(module, options.segments, seconds, times), summary)
    if kind in ("srt", "vtt") and (len(recordings) > 1 or Path(options.input).is_dir()):
        for outcome in _drawn(outcomes, module, options):
            with open_output(_subtitles_path(outcome.recording, options)) as file:
                file.write(_subtitles(outcome, kind).encode())
    else:
        with open_output(options.output) as file:
            for outcome in _drawn(outcomes, module, options):
                text = _subtitles(outcome, kind) if kind in ("srt", "vtt") else _row(outcome, kind, len(recordings))
                file.write(text.encode())
                file.flush()
    print(f"predict: {summary}", file=sys.stderr)
    if summary.problems and summary.problems == len(recordings):
        raise DataError(f"none of {len(recordings)} recordings could be read" if len(recordings) > 1 else "no result")
    return summary


def plan(options: SpeechPredictOptions) -> list[Recording]:
    """The recordings that the options name.

    Raises:
        ConfigError: the output is the input itself, or a file where a directory is needed.
        DataError: there is no such input, or the directory has no sound files.
    """
    output = options.output
    if options.input == STDIN:
        return [Recording("standard input", AudioClip(data=sys.stdin.buffer.read()))]
    path = Path(options.input)
    if not path.exists():
        raise DataError("there is no such file or directory", path)
    if path.is_file():
        if output is not None and output.exists() and output.samefile(path):
            raise ConfigError(f"--output {output} would overwrite the input; give another name")
        return [Recording(str(path), AudioClip(path))]
    if options.chosen_format in ("srt", "vtt") and output is not None and output.is_file():
        raise ConfigError(f"--output {output} is a file, but --input {path} is a directory: give a directory")
    files = files_below(path, suffixes=SOUNDS)
    if not files:
        raise DataError(f"the directory has no sound files ({', '.join(SOUNDS[:6])}, …)", path)
    return [Recording(str(file), AudioClip(file)) for file in files]


def _outcomes(recordings: Sequence[Recording], recogniser: Recogniser, summary: Summary) -> Iterator[Outcome]:
    """Transcribes in the order of the input, some recordings at a time."""
    for chunk in _chunks(recordings, recogniser.sample_rate):
        sounds = [sound for _, sound in chunk if isinstance(sound, Tensor)]
        transcripts = iter(recogniser(sounds))
        for recording, sound in chunk:
            if isinstance(sound, Tensor):
                summary.done += 1
                yield Outcome(recording, next(transcripts), sound)
            else:
                summary.report(str(sound))
                yield Outcome(recording, None, problem=str(sound))


def _chunks(recordings: Sequence[Recording], sample_rate: int) -> Iterator[list[tuple[Recording, Tensor | DataError]]]:
    chunk: list[tuple[Recording, Tensor | DataError]] = []
    seconds = 0.0
    for recording in recordings:
        try:
            sound: Tensor | DataError = read_audio(recording.clip, sample_rate)
        except DataError as error:
            sound = error
        chunk.append((recording, sound))
        seconds += sound.numel() / sample_rate if isinstance(sound, Tensor) else 0.0
        if seconds >= CHUNK_SECONDS:
            yield chunk
            chunk, seconds = [], 0.0
    if chunk:
        yield chunk


def _row(outcome: Outcome, kind: SpeechFormat, count: int) -> str:
    """One line: the transcript, or a JSON object."""
    transcript = outcome.transcript
    if kind == "text":
        text = "" if transcript is None else " ".join(transcript.text.split())
        return f"{outcome.recording.name}\t{text}\n" if count > 1 else f"{text}\n"
    row: dict[str, object] = {"audio": outcome.recording.name}
    if transcript is not None:
        words = [
            {"word": word.text, "start": round(word.start, 3), "end": round(word.end, 3), "score": round(word.score, 4)}
            for word in transcript.words
        ]
        row |= {"text": transcript.text, "seconds": round(transcript.seconds, 3), "words": words}
    if outcome.problem:
        row["problem"] = outcome.problem
    return json.dumps(row, ensure_ascii=False) + "\n"


def _subtitles(outcome: Outcome, kind: SpeechFormat) -> str:
    words = () if outcome.transcript is None else outcome.transcript.words
    return srt(words) if kind == "srt" else vtt(words)


def _subtitles_path(recording: Recording, options: SpeechPredictOptions) -> Path:
    """Beside its file, or in the output's directory as the files are in the input's."""
    path, suffix = Path(recording.name), SUFFIXES[options.chosen_format]
    if options.output is None:
        return path.with_name(f"{path.name}.hyp{suffix}")
    return options.output / path.relative_to(options.input).with_suffix(suffix)


def _drawn(outcomes: Iterator[Outcome], module: AsrModule, options: SpeechPredictOptions) -> Iterator[Outcome]:
    """The same outcomes, drawn on the way where pictures are asked for."""
    from tasks.asr.pictures import draw_words

    for outcome in outcomes:
        if options.pictures is not None and outcome.transcript is not None and outcome.sound is not None:
            name = Path(outcome.recording.name).name.replace(" ", "_")
            with torch.inference_mode():
                draw_words(module, outcome.sound, outcome.transcript, options.pictures / f"{name}.png")
        yield outcome

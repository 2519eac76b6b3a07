"""Speech corpora in manifests: a file with a record for each utterance, as JSON lines or as a table."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.audio.clip import AudioClip
from core.data.corpus import Split, split_path
from core.data.records import field_of, parse, text_of
from core.data.speech import SplitSpeech, Utterance
from core.data.tables import CsvCorpus, TsvCorpus, cell, column_number
from core.data.text import read_lines
from core.errors import DataError

Record = Mapping[str, object]
Place = tuple[str | Path, int]  # a file, or what stands for one, and the record's line in it


@dataclass(frozen=True)
class SpeechColumns:
    """Where in a record things stand; a dot goes into nested objects.

    Attributes:
        audio: the sound, or its path.
        text: the transcript.
        speaker: None for "speaker" in records that have it, as for the following; a column that is named must be there.
        duration: in seconds; None for "duration".
        offset: where the utterance starts in its file, in seconds; None for "offset".
        sample_rate: in Hz; None for "sample_rate".
    """

    audio: str = "audio"
    text: str = "text"
    speaker: str | None = None
    duration: str | None = None
    offset: str | None = None
    sample_rate: str | None = None

    def optional(self, record: Record, field: str, place: Place) -> object:
        """One of the fields that may be missing, None if it is, or is empty.

        Raises:
            DataError: a column that was named isn't there.
        """
        column: str | None = getattr(self, field)
        value = record.get(field) if column is None else field_of(record, column, *place)
        return None if value == "" else value


def utterance_of(
    row: int, record: Record, columns: SpeechColumns, audio: AudioClip, name: str, place: Place
) -> Utterance:
    """Makes an utterance of a record.

    With an offset it is a segment of its file, as long as the duration says; without one it is the whole file, and the
    duration is a claim about it.

    Args:
        row: its number, from 0.
        record: its fields.
        columns: which field is what.
        audio: its file.
        name: the file's name in the corpus.
        place: where the record stands.

    Raises:
        DataError: a field is missing, or isn't what it must be.
    """
    text = text_of(field_of(record, columns.text, *place), columns.text, *place)
    speaker = columns.optional(record, "speaker", place)
    duration, offset, rate = (_number(columns, record, field, place) for field in ("duration", "offset", "sample_rate"))
    if speaker is not None and not isinstance(speaker, str | int):
        raise DataError(f"{columns.speaker or 'speaker'!r} must be text, got {type(speaker).__name__}", *place)
    if offset is not None:
        if duration == 0:
            raise DataError("a segment must be longer than 0 seconds", *place)
        audio = AudioClip(audio.path, audio.data, offset, duration)
        name = f"{name}@{offset:g}"
    claimed_rate = None if rate is None else round(rate)
    return Utterance(row, audio, text, name, "" if speaker is None else str(speaker), duration, claimed_rate)


def _number(columns: SpeechColumns, record: Record, field: str, place: Place) -> float | None:
    value = columns.optional(record, field, place)
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, str | float | int) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):  # a whole number beyond all floats
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        column = getattr(columns, field) or field
        raise DataError(f"{column!r} must be a number that is at least 0, got {value!r}", *place)
    return number


class ManifestSpeech(SplitSpeech):
    """One file for each split, with a record for each utterance.

    A record with an offset is a segment of its file, and its duration the segment's; without one it is the whole file,
    and the duration is a claim that is checked.

    Args:
        train: the training manifest; .gz is unpacked.
        val: the validation manifest; None where there is none, or `held_out` makes it.
        test: the test manifest.
        audio_column: the field with the sound's path.
        text_column: the transcript's.
        speaker_column: the speaker's; None for "speaker" in records that have it, as for the following.
        duration_column: the field with the length in seconds; None for "duration".
        offset_column: the field with the second at which the utterance starts in its file; None for "offset".
        sample_rate_column: the field with the rate in Hz; None for "sample_rate".
        audio_folder: where relative paths start; None for the manifest's folder.
        held_out: share of the training utterances that is kept for validation, whole speakers where they are known.
    """

    def __init__(
        self,
        train: Path | None = None,
        val: Path | None = None,
        test: Path | None = None,
        audio_column: str = "audio",
        text_column: str = "text",
        speaker_column: str | None = None,
        duration_column: str | None = None,
        offset_column: str | None = None,
        sample_rate_column: str | None = None,
        audio_folder: Path | None = None,
        held_out: float = 0.0,
    ) -> None:
        super().__init__(held_out)
        self.paths: dict[Split, Path | None] = {"train": train, "val": val, "test": test}
        self.columns = SpeechColumns(
            audio_column, text_column, speaker_column, duration_column, offset_column, sample_rate_column
        )
        self.audio_folder = audio_folder

    @abstractmethod
    def records(self, path: Path) -> Iterator[tuple[int, Record]]:
        """Yields a manifest's records with the lines on which they end, from 1."""

    def read_split(self, split: Split) -> list[Utterance]:
        """Reads a split as it is stored.

        Raises:
            ConfigError: the split has no file.
            DataError: the manifest is missing, empty or not UTF-8; a record can't be read, or lacks a field.
        """
        path = Path(split_path(self.paths, split))
        folder = path.parent if self.audio_folder is None else Path(self.audio_folder)
        utterances = []
        for row, (line, record) in enumerate(self.records(path)):
            name = text_of(field_of(record, self.columns.audio, path, line), self.columns.audio, path, line)
            if not name:
                raise DataError(f"{self.columns.audio!r} is empty: a path is needed", path, line)
            utterances.append(utterance_of(row, record, self.columns, AudioClip(folder / name), name, (path, line)))
        return utterances


class JsonlSpeech(ManifestSpeech):
    """One JSON object a line. Blank lines are between records, not records."""

    def records(self, path: Path) -> Iterator[tuple[int, Record]]:
        """Yields a manifest's records.

        Raises:
            DataError: a line isn't a JSON object.
        """
        for number, line in enumerate(read_lines(path), start=1):
            if line.strip():
                yield number, parse(line, path, number)


class TableSpeech(ManifestSpeech):
    """A table whose first line names the columns: with commas (RFC 4180) if the file is a .csv, else with tabs."""

    def records(self, path: Path) -> Iterator[tuple[int, Record]]:
        """Yields a manifest's records.

        Raises:
            DataError: a column is missing; a row is too short; a quote in a .csv isn't closed.
        """
        rows = (CsvCorpus() if ".csv" in path.suffixes else TsvCorpus()).rows(path)
        _, names = next(rows)
        for column in (self.columns.audio, self.columns.text):
            column_number(column, names, path)
        for line, row in rows:
            if any(row):  # a blank line is none
                yield line, {name: cell(row, index, path, line) for index, name in enumerate(names)}

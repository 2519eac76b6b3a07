"""Speech corpora that the `datasets` package can load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.audio.clip import AudioClip
from core.data.corpus import Split
from core.data.records import field_of, load_split, top_column
from core.data.speech import SplitSpeech, Utterance
from core.data.speech_manifests import Place, SpeechColumns, utterance_of
from core.errors import DataError


class DatasetSpeech(SplitSpeech):
    """A folder of Parquet, CSV or JSON, a saved dataset, or a hub id.

    The sound is read by us and not by `datasets`, whose own decoding needs torchcodec and FFmpeg; so does its builder
    for folders of sound files. Sound that is stored within the dataset is kept in memory, encoded as it is.

    Args:
        path: a local path, or an id on the hub.
        name: the configuration, where the dataset has several.
        train: the name of the training split.
        val: the name of the validation split; not used if `held_out` is above 0.
        test: the name of the test split.
        audio_column: the column with the sound: of type Audio, or paths (relative ones start at the dataset's folder).
        text_column: the transcript's.
        speaker_column: the speaker's; None for "speaker" where the dataset has it, as for the following.
        duration_column: the column with the length in seconds; None for "duration".
        offset_column: the column with the second at which the utterance starts in its file; None for "offset".
        sample_rate_column: the column with the rate in Hz; None for "sample_rate".
        held_out: share of the training utterances that is kept for validation, whole speakers where they are known.
    """

    def __init__(
        self,
        path: str,
        name: str | None = None,
        train: str = "train",
        val: str = "validation",
        test: str = "test",
        audio_column: str = "audio",
        text_column: str = "text",
        speaker_column: str | None = None,
        duration_column: str | None = None,
        offset_column: str | None = None,
        sample_rate_column: str | None = None,
        held_out: float = 0.0,
    ) -> None:
        super().__init__(held_out)
        self.path, self.name = path, name
        self.names: dict[Split, str] = {"train": train, "val": val, "test": test}
        self.columns = SpeechColumns(
            audio_column, text_column, speaker_column, duration_column, offset_column, sample_rate_column
        )

    def read_split(self, split: Split) -> list[Utterance]:
        """Reads a split as it is stored.

        Raises:
            DataError: the dataset, the split or a column can't be found; for want of a network, say.
        """
        place = f"{self.path} ({self.names[split]})"
        dataset = self._undecoded(self._load(split, place), place)
        utterances = []
        for row, record in enumerate(dataset):
            audio = self._clip(field_of(record, self.columns.audio, place, row + 1), (place, row + 1))
            name = str(row) if audio.path is None else str(audio.path)
            utterances.append(utterance_of(row, record, self.columns, audio, name, (place, row + 1)))
        return utterances

    def _load(self, split: Split, place: str) -> Any:
        try:
            return load_split(self.path, self.name, self.names[split], place)
        except DataError as error:
            if next(Path(self.path).rglob("metadata.*"), None) is None:
                raise
            hint = "TableSpeech reads a metadata.csv and JsonlSpeech a metadata.jsonl, with audio_column: file_name"
            raise DataError(f"{error}. {hint}") from error

    def _undecoded(self, dataset: Any, place: str) -> Any:
        """The columns that are needed, their sound as it is stored."""
        from datasets import Audio

        there = dataset.column_names
        columns = self.columns
        needed = [columns.audio, columns.text]
        for field in ("speaker", "duration", "offset", "sample_rate"):
            named: str | None = getattr(columns, field)
            needed += [named] if named is not None else [field] if field in there else []
        dataset = dataset.select_columns(sorted({top_column(column, there, place) for column in needed}))
        for column, feature in dataset.features.items():
            if isinstance(feature, Audio):
                dataset = dataset.cast_column(column, Audio(decode=False))
        return dataset

    def _clip(self, value: object, place: Place) -> AudioClip:
        if isinstance(value, str) and value:
            return AudioClip(self._folder() / value)
        data, path = (value.get("bytes"), value.get("path")) if isinstance(value, Mapping) else (value, None)
        if isinstance(data, bytes):
            return AudioClip(None if path is None else Path(path), data)
        if isinstance(path, str) and path:
            return AudioClip(self._folder() / path)
        message = f"{self.columns.audio!r} must be sound (datasets.Audio), a path or the bytes of a file"
        raise DataError(f"{message}, got {type(value).__name__}", *place)

    def _folder(self) -> Path:
        path = Path(self.path)
        return path if path.is_dir() else path.parent if path.is_file() else Path()

"""Corpora of records with named fields: JSON lines, and whatever the `datasets` package can load."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.data.corpus import Split, SplitCorpus, TextPair, split_path
from core.data.tables import unknown_column
from core.data.text import iterate_lines
from core.errors import DataError


def field_of(record: object, column: str, path: str | Path, line: int | None = None) -> object:
    """A field of a record; "translation.en" is the field "en" of the field "translation".

    Raises:
        DataError: there is no such field.
    """
    value = record
    for name in [column] if isinstance(record, Mapping) and column in record else column.split("."):
        if not isinstance(value, Mapping):
            raise DataError(f"{column!r}: {type(value).__name__} has no field {name!r}", path, line)
        if name not in value:
            raise unknown_column(name, list(map(str, value)), path, line)
        value = value[name]
    return value


def text_of(value: object, column: str, path: str | Path, line: int | None = None) -> str:
    """A field that must be text.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(value, str):
        raise DataError(f"{column!r} must be text, got {type(value).__name__}", path, line)
    return value


def texts_of(value: object, column: str, path: str | Path, line: int | None = None) -> tuple[str, ...]:
    """A field that is a text, or a list of at least one text: references.

    Raises:
        DataError: it is something else.
    """
    if not isinstance(value, list):
        return (text_of(value, column, path, line),)
    if not value:
        raise DataError(f"{column!r} is an empty list: a pair needs at least one target", path, line)
    return tuple(text_of(each, column, path, line) for each in value)


class JsonlCorpus(SplitCorpus):
    """One JSON object a line. A target may be a list: the references. Blank lines are between records, not records.

    Args:
        train: the training file; .gz is unpacked.
        val: the validation file; None where there is none, or `held_out` makes it.
        test: the test file.
        source_column: the source's field; a dot goes into nested objects.
        target_column: the target's.
        held_out: share of the training pairs that is kept for validation, chosen by a hash of the source.
    """

    def __init__(
        self,
        train: Path | None = None,
        val: Path | None = None,
        test: Path | None = None,
        source_column: str = "source",
        target_column: str = "target",
        held_out: float = 0.0,
    ) -> None:
        super().__init__(held_out)
        self.paths: dict[Split, Path | None] = {"train": train, "val": val, "test": test}
        self.source_column, self.target_column = source_column, target_column

    def files(self, split: Split) -> tuple[Path, ...]:
        """The file of a split."""
        return (Path(split_path(self.paths, self.stored_in(split))),)

    def iterate_split(self, split: Split) -> Iterator[TextPair]:
        """Reads a split as it is stored, record by record.

        Raises:
            ConfigError: the split has no file.
            DataError: the file is missing, empty or not UTF-8; a line isn't JSON, or lacks a field.
        """
        path = Path(split_path(self.paths, split))
        lines = ((line, text) for line, text in enumerate(iterate_lines(path), start=1) if text.strip())
        for number, (line, text) in enumerate(lines):
            yield pair_of(parse(text, path, line), number, self.source_column, self.target_column, path, line)


def pair_of(
    record: object, number: int, source: str, target: str, path: str | Path, line: int | None = None
) -> TextPair:
    """Makes a pair of two fields of a record.

    Args:
        record: with named fields.
        number: the pair's.
        source: the source's field.
        target: the target's; it may hold a list, the references.
        path: where the record is from, for errors.
        line: its line there.

    Raises:
        DataError: there is no such field, or it isn't text.
    """
    text = text_of(field_of(record, source, path, line), source, path, line)
    return TextPair(number, text, texts_of(field_of(record, target, path, line), target, path, line))


def parse(line: str, path: Path, number: int) -> Mapping[str, object]:
    """Reads one line of JSON.

    Raises:
        DataError: it isn't an object.
    """
    try:
        record = json.loads(line)
    except ValueError as error:
        raise DataError(f"not JSON: {error}", path, number) from None
    except RecursionError:
        raise DataError("JSON that is nested too deep", path, number) from None
    if not isinstance(record, dict):
        raise DataError(f"a line must be a JSON object, got {type(record).__name__}", path, number)
    return record


class DatasetCorpus(SplitCorpus):
    """Whatever the `datasets` package can load: a folder of Parquet, CSV or JSON, a saved dataset, or a hub id.

    Args:
        path: a local path, or an id on the hub.
        name: the configuration, where the dataset has several.
        train: the name of the training split.
        val: the name of the validation split; not used if `held_out` is above 0.
        test: the name of the test split.
        source_column: the source's column; a dot goes into nested ones, as in "translation.en".
        target_column: the target's; it may hold a list, the references.
        held_out: share of the training pairs that is kept for validation, chosen by a hash of the source.
    """

    def __init__(
        self,
        path: str,
        name: str | None = None,
        train: str = "train",
        val: str = "validation",
        test: str = "test",
        source_column: str = "source",
        target_column: str = "target",
        held_out: float = 0.0,
    ) -> None:
        super().__init__(held_out)
        self.path, self.name = path, name
        self.names: dict[Split, str] = {"train": train, "val": val, "test": test}
        self.source_column, self.target_column = source_column, target_column

    def iterate_split(self, split: Split) -> Iterator[TextPair]:
        """Reads a split as it is stored, record by record.

        Raises:
            DataError: the dataset, the split or a column can't be found; for want of a network, say.
        """
        place = f"{self.path} ({self.names[split]})"
        dataset = load_split(self.path, self.name, self.names[split], place)
        source, target = self.source_column, self.target_column
        columns = {top_column(column, dataset.column_names, place) for column in (source, target)}
        for number, record in enumerate(dataset.select_columns(sorted(columns))):
            yield pair_of(record, number, source, target, place, number + 1)


def load_split(path: str, name: str | None, split: str, place: str) -> Any:
    """Loads one split with the `datasets` package: from a saved dataset, a folder of files, or the hub.

    Args:
        path: a local path, or an id on the hub.
        name: the configuration, where the dataset has several.
        split: the split's name.
        place: how errors name it.

    Raises:
        DataError: it can't be loaded; for want of a network, say.
    """
    from datasets import load_dataset, load_from_disk

    try:
        if (Path(path) / "dataset_dict.json").exists():
            return load_from_disk(path)[split]
        return load_dataset(path, name, split=split)
    except Exception as error:  # whatever a foreign format, a script or the network may raise
        hint = "" if Path(path).exists() else "; it isn't a local path: a hub id needs a network, or its cache"
        raise DataError(f"datasets can't load it: {told_causes(error)}{hint}", place) from error


def told_causes(error: BaseException) -> str:
    """What an error and those that it was raised from say, in one line."""
    return "; ".join(str(each).splitlines()[0] if str(each) else repr(each) for each in _causes(error))


def _causes(error: BaseException) -> list[BaseException]:
    """An error and what it was raised from: `datasets` often says of what happened only that something did."""
    return [error] if error.__cause__ is None else [error, *_causes(error.__cause__)]


def top_column(column: str, there: list[str], place: str) -> str:
    """The column that holds a field: "translation" for "translation.en".

    Raises:
        DataError: there is none.
    """
    top = column if column in there else column.partition(".")[0]
    if top not in there:
        raise unknown_column(top, there, place)
    return top

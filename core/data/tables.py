"""Corpora in tables: tab-separated and comma-separated files with named or numbered columns."""

from __future__ import annotations

import csv
import sys
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from core.data.corpus import Split, SplitCorpus, TextPair, split_path
from core.data.text import iterate_lines
from core.errors import DataError, did_you_mean

Row = tuple[int, list[str]]  # the line on which it ends, its cells


class TableCorpus(SplitCorpus):
    """One file for each split, with the source in one column and the target in another.

    Args:
        train: the training file; .gz is unpacked.
        val: the validation file; None where there is none, or `held_out` makes it.
        test: the test file.
        source_column: the column's name in the first line, or its number from 1: then the first line is data too,
            unless `header` says otherwise.
        target_column: likewise.
        header: the first line names the columns; None for "if columns are given by name".
        held_out: share of the training pairs that is kept for validation, chosen by a hash of the source.
    """

    def __init__(
        self,
        train: Path | None = None,
        val: Path | None = None,
        test: Path | None = None,
        source_column: int | str = "source",
        target_column: int | str = "target",
        header: bool | None = None,
        held_out: float = 0.0,
    ) -> None:
        super().__init__(held_out)
        self.paths: dict[Split, Path | None] = {"train": train, "val": val, "test": test}
        self.columns = (source_column, target_column)
        self.header = any(isinstance(column, str) for column in self.columns) if header is None else header

    @abstractmethod
    def rows(self, path: Path) -> Iterator[Row]:
        """Yields all rows of a file, the first line included."""

    def files(self, split: Split) -> tuple[Path, ...]:
        """The file of a split."""
        return (Path(split_path(self.paths, self.stored_in(split))),)

    def iterate_split(self, split: Split) -> Iterator[TextPair]:
        """Reads a split as it is stored, row by row.

        Raises:
            ConfigError: the split has no file.
            DataError: the file is missing, empty or not UTF-8; there is no such column; a row is too short.
        """
        path = Path(split_path(self.paths, split))
        rows = self.rows(path)
        line, first = next(rows)
        source, target = (column_number(column, first if self.header else None, path) for column in self.columns)
        data = rows if self.header else chain([(line, first)], rows)
        for number, (line, row) in enumerate(data):
            yield TextPair(number, cell(row, source, path, line), (cell(row, target, path, line),))


class TsvCorpus(TableCorpus):
    """Cells between tabs, one row a line; quotes are text like any other."""

    def rows(self, path: Path) -> Iterator[Row]:
        """Yields all rows of a file."""
        for number, line in enumerate(iterate_lines(path), start=1):
            yield number, line.split("\t")


class CsvCorpus(TableCorpus):
    """Cells between commas; a cell in double quotes may hold commas and line breaks (RFC 4180)."""

    def rows(self, path: Path) -> Iterator[Row]:
        """Yields all rows of a file.

        Raises:
            DataError: a quote isn't closed, or is misplaced.
        """
        csv.field_size_limit(sys.maxsize)
        reader = csv.reader((line + "\n" for line in iterate_lines(path)), strict=True)
        try:
            for row in reader:
                yield reader.line_num, row
        except csv.Error as error:
            raise DataError(f"not CSV: {error}", path, reader.line_num) from error


def unknown_column(column: str, there: Sequence[str], path: str | Path, line: int | None = None) -> DataError:
    """The error that names the columns that exist, the nearest first."""
    hint = did_you_mean(repr(column), [repr(name) for name in there]) or ";"
    return DataError(f"there is no column {column!r}{hint} It has {', '.join(map(repr, there))}", path, line)


def column_number(column: int | str, names: Sequence[str] | None, path: Path) -> int:
    """The index from 0 of a column that is given by name or by number from 1."""
    if isinstance(column, int):
        if column < 1:
            raise DataError(f"columns are counted from 1, got {column}", path)
        return column - 1
    if names is None:
        raise DataError(f"column {column!r} is given by name, but header is false: give its number from 1", path)
    if column not in names:
        raise unknown_column(column, names, path, 1)
    return list(names).index(column)


def cell(row: Sequence[str], column: int, path: Path, line: int) -> str:
    """One cell of a row.

    Raises:
        DataError: the row is too short.
    """
    if column >= len(row):
        raise DataError(f"has {len(row)} columns, and column {column + 1} is asked for", path, line)
    return row[column]

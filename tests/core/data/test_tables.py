from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from core.data.corpus import TextPair
from core.data.tables import CsvCorpus, TableCorpus, TsvCorpus
from core.errors import ConfigError, DataError


def file(folder: Path, text: str, name: str = "a.txt") -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


def test_columns_by_name(tmp_path: Path) -> None:
    path = file(tmp_path, "id\ten\tde\n1\ta\tA\n2\tb\tB\n")
    corpus = TsvCorpus(train=path, source_column="en", target_column="de")
    assert corpus.read("train") == [TextPair(0, "a", ("A",)), TextPair(1, "b", ("B",))]


def test_columns_by_number_from_one_need_no_header(tmp_path: Path) -> None:
    path = file(tmp_path, "a\tA\nb\tB\n")
    assert TsvCorpus(test=path, source_column=2, target_column=1).read("test")[0] == TextPair(0, "A", ("a",))
    with_header = TsvCorpus(test=path, source_column=2, target_column=1, header=True)
    assert with_header.read("test") == [TextPair(0, "B", ("b",))]


def test_quotes_in_tab_separated_text_are_text(tmp_path: Path) -> None:
    path = file(tmp_path, 'He said "hi\t"Hallo"\nb\tB\n')
    assert TsvCorpus(train=path, source_column=1, target_column=2).read("train")[0] == TextPair(
        0, 'He said "hi', ('"Hallo"',)
    )


def test_quoted_cells_hold_commas_and_line_breaks(tmp_path: Path) -> None:
    path = file(tmp_path, 'source,target\r\n"a, b","x\r\ny ""z"""\r\nc\u2028d,e\r\n')
    assert CsvCorpus(train=path).read("train") == [TextPair(0, "a, b", ('x\ny "z"',)), TextPair(1, "c\u2028d", ("e",))]


def test_long_cells_are_read_whole(tmp_path: Path) -> None:
    long = "x" * 200_000
    assert CsvCorpus(train=file(tmp_path, f"source,target\n{long},y\n")).read("train")[0].source == long


def test_packed_tables_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"source,target\na,A\n"))
    assert CsvCorpus(train=tmp_path / "a.csv.gz").read("train") == [TextPair(0, "a", ("A",))]


@pytest.mark.parametrize(("kind", "sign"), [(TsvCorpus, "\t"), (CsvCorpus, ",")])
def test_an_unknown_column_is_refused_with_those_that_exist(tmp_path: Path, kind: type[TableCorpus], sign: str) -> None:
    path = file(tmp_path, f"id{sign}english{sign}german\n1{sign}a{sign}A\n")
    with pytest.raises(
        DataError, match=r"a\.txt:1: there is no column 'englsh'; did you mean 'english'\? It has 'id', "
    ):
        kind(train=path, source_column="englsh", target_column="german").read("train")


def test_a_name_without_a_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'source' is given by name, but header is false"):
        TsvCorpus(train=file(tmp_path, "a\tA\n"), header=False).read("train")


def test_columns_are_counted_from_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="counted from 1, got 0"):
        TsvCorpus(train=file(tmp_path, "a\tA\n"), source_column=0, target_column=1).read("train")


@pytest.mark.parametrize(("kind", "text"), [(TsvCorpus, "a\tA\nb\n"), (CsvCorpus, 'a,"A\nA"\nb\n')])
def test_a_short_row_is_refused_with_its_line(tmp_path: Path, kind: type[TableCorpus], text: str) -> None:
    line = text.count("\n")
    with pytest.raises(DataError, match=rf"a\.txt:{line}: has 1 columns, and column 2 is asked for"):
        kind(train=file(tmp_path, text), source_column=1, target_column=2).read("train")


def test_an_open_quote_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.txt:3: not CSV"):
        CsvCorpus(train=file(tmp_path, 'source,target\na,A\nb,"B\n')).read("train")


def test_a_split_without_a_file_is_refused_with_the_mend(tmp_path: Path) -> None:
    corpus = TsvCorpus(train=file(tmp_path, "a\tA\n"))
    with pytest.raises(ConfigError, match=r"no val split: set data\.corpus\.val, or data\.corpus\.held_out"):
        corpus.read("val")
    with pytest.raises(ConfigError, match=r"no test split: set data\.corpus\.test"):
        corpus.read("test")


def test_an_empty_or_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="empty"):
        CsvCorpus(train=file(tmp_path, "")).read("train")
    with pytest.raises(DataError, match="no such file"):
        CsvCorpus(train=tmp_path / "none.csv").read("train")

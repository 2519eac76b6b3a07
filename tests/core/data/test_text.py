from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from core.data.corpus import TextPair, hold_out
from core.data.text import AlignedText, read_lines
from core.errors import ConfigError, DataError


def write(folder: Path, **files: bytes | str) -> Path:
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name.replace("_", ".")).write_bytes(data)
    return folder


def test_pairs_are_read_in_order(tmp_path: Path) -> None:
    write(tmp_path, train_en="a\nb\n", train_de="A\nB\n")
    assert AlignedText(tmp_path, "en", "de").read("train") == [TextPair(0, "a", ("A",)), TextPair(1, "b", ("B",))]
    assert AlignedText(tmp_path, "de", "en").read("train") == [TextPair(0, "A", ("a",)), TextPair(1, "B", ("b",))]


def test_packed_files_are_found(tmp_path: Path) -> None:
    write(tmp_path, test_en="a\n")
    (tmp_path / "test.de.gz").write_bytes(gzip.compress(b"A\n"))
    assert AlignedText(tmp_path, "en", "de").read("test") == [TextPair(0, "a", ("A",))]


@pytest.mark.parametrize("inside", ["\u2028", "\u2029", "\u0085", "\x0c", "\x0b", "\x1c", "\r x"])
def test_only_a_line_feed_ends_a_line(tmp_path: Path, inside: str) -> None:
    write(tmp_path, a=f"one{inside}two\nthree\n")
    assert read_lines(tmp_path / "a") == [f"one{inside}two", "three"]


def test_byte_order_mark_and_carriage_returns_are_taken_off(tmp_path: Path) -> None:
    write(tmp_path, a=b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert read_lines(tmp_path / "a") == ["one", "two"]


def test_the_last_line_may_lack_its_end_and_empty_lines_count(tmp_path: Path) -> None:
    write(tmp_path, a="one\n\n\nfour")
    assert read_lines(tmp_path / "a") == ["one", "", "", "four"]


def test_unequal_lengths_are_refused_with_both_counts(tmp_path: Path) -> None:
    write(tmp_path, train_en="a\nb\nc\n", train_de="A\nB\n")
    with pytest.raises(DataError, match=r"train\.en: has 3 lines, but .*train\.de has 2"):
        AlignedText(tmp_path, "en", "de").read("train")


def test_a_missing_file_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    write(tmp_path, train_en="a\n", train_de="A\n")
    with pytest.raises(DataError, match=r"train\.fr: there is no such file; the folder has train\.de, train\.en"):
        AlignedText(tmp_path, "en", "fr").read("train")
    with pytest.raises(DataError, match="the folder has none"):
        AlignedText(tmp_path / "nowhere", "en", "fr").read("train")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, a=content)
    with pytest.raises(DataError, match="the file is empty"):
        read_lines(tmp_path / "a")


def test_text_that_is_not_utf8_is_refused_with_line_and_byte(tmp_path: Path) -> None:
    write(tmp_path, a="schön\n".encode() + "schön\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"a:2: not UTF-8: byte 0xf6 at offset 3 of the line"):
        read_lines(tmp_path / "a")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"text\n" * 1000)[:-20])
    (tmp_path / "b.gz").write_bytes(b"text\n")
    for name in ("a.gz", "b.gz"):
        with pytest.raises(DataError, match=f"{name}: can't be read"):
            read_lines(tmp_path / name)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read"):
        read_lines(tmp_path)


class TestHeldOut:
    pairs = tuple(TextPair(row, f"sentence {row % 500}", (f"{row}",)) for row in range(1000))

    def test_sides_are_complementary_and_about_the_share(self) -> None:
        val, train = hold_out(self.pairs, 0.1, True), hold_out(self.pairs, 0.1, False)
        assert sorted([*val, *train], key=lambda pair: pair.id) == list(self.pairs)
        assert 60 <= len(val) <= 140  # three standard deviations of 500 draws, each counted twice

    def test_duplicates_stay_together(self) -> None:
        val, train = hold_out(self.pairs, 0.1, True), hold_out(self.pairs, 0.1, False)
        assert not {pair.source for pair in val} & {pair.source for pair in train}

    def test_more_data_moves_no_pair_to_the_other_side(self) -> None:
        assert hold_out(self.pairs[:300], 0.1, True) == [p for p in hold_out(self.pairs, 0.1, True) if p.id < 300]

    def test_a_corpus_without_validation_files(self, tmp_path: Path) -> None:
        lines = "".join(f"line {row}\n" for row in range(200))
        write(tmp_path, train_en=lines, train_de=lines)
        corpus = AlignedText(tmp_path, "en", "de", held_out=0.2)
        assert len(corpus.read("train")) + len(corpus.read("val")) == 200
        assert corpus.read("val")

    @pytest.mark.parametrize("share", [1.0, -0.1])
    def test_a_share_out_of_range_is_refused(self, share: float) -> None:
        with pytest.raises(ConfigError, match=r"held_out must be in \[0, 1\)"):
            AlignedText(Path(), "en", "de", held_out=share)

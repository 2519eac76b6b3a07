"""Whatever is in a file, a reader gives what is there or a DataError with its path, and never a library's own error."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.data.images_json import CocoImages, KarpathyImages
from core.data.images_jsonl import FlickrImages, JsonlImages
from core.data.records import JsonlCorpus
from core.data.speech_kaldi import KaldiSpeech
from core.data.speech_manifests import JsonlSpeech, TableSpeech
from core.data.tables import CsvCorpus, TsvCorpus
from core.data.text import AlignedText, read_lines
from core.errors import DataError
from tasks.dialogue.readers import BabiDialogues, JsonlDialogues, ParlaiDialogues, TsvDialogues
from tasks.qa.squad import SquadCorpus

FUZZ = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
Read = Callable[[Path], object]

# What lies near to the formats, so that it gets beyond their first check.
PIECES = (
    *(
        b"\n",
        b"\r\n",
        b"\t",
        b",",
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b" ",
        b"|",
        b"\0",
        b"\xff",
        b"\xef\xbb\xbf",
        b"#0",
    ),
    *(b'{"source": "a", "target": "b"}', b'{"audio": "a.wav", "text": "b"}', b'{"image": "a.png", "captions": ["b"]}'),
    *(b"source\ttarget", b"source,target", b"1e999", b"\\ud800", b"null", b"a", "ä".encode(), b"utt-1 cat x |"),
)
pieces = st.sampled_from(PIECES)
files = st.lists(pieces | st.binary(max_size=6), max_size=14).map(b"".join)


def flickr(path: Path) -> object:
    return FlickrImages(path, path.parent, train=path).read("train")


def kaldi(path: Path) -> object:
    folder = path.parent / "kaldi"
    folder.mkdir(exist_ok=True)
    for name in ("wav.scp", "text", "utt2spk", "segments"):
        (folder / name).write_bytes(path.read_bytes())
    return KaldiSpeech(folder).read("train")


READERS: dict[str, Read] = {
    "lines": read_lines,
    "tsv": lambda path: TsvCorpus(path).read("train"),
    "tsv by number": lambda path: TsvCorpus(path, source_column=1, target_column=2).read("train"),
    "csv": lambda path: CsvCorpus(path).read("train"),
    "csv by number": lambda path: CsvCorpus(path, source_column=1, target_column=2).read("train"),
    "jsonl": lambda path: JsonlCorpus(path).read("train"),
    "speech jsonl": lambda path: JsonlSpeech(path).read("train"),
    "speech table": lambda path: TableSpeech(path).read("train"),
    "kaldi": kaldi,
    "images jsonl": lambda path: JsonlImages(path).read("train"),
    "flickr": flickr,
    "karpathy": lambda path: KarpathyImages(path, path.parent).read("train"),
    "coco": lambda path: CocoImages(path).read("train"),
    "dialogues jsonl": lambda path: JsonlDialogues(path).read("train"),
    "parlai": lambda path: ParlaiDialogues(path).read("train"),
    "babi dialogues": lambda path: BabiDialogues(path).read("train"),
    "dialogues tsv": lambda path: TsvDialogues(path).read("train"),
    "squad": lambda path: SquadCorpus(path).read("train"),
}


def read_or_told(read: Read, path: Path) -> object:
    try:
        return read(path)
    except DataError as error:
        told = error
    assert str(path.parent) in str(told), "it names the file"
    assert "\n" not in str(told)
    return told


@pytest.mark.parametrize("name", READERS)
@FUZZ
@given(content=files)
def test_any_bytes(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    read_or_told(READERS[name], path)


values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400) | st.just("a\0b"),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
FIELDS = ("source", "target", "audio", "text", "speaker", "duration", "offset", "sample_rate", "image", "captions")


@pytest.mark.parametrize("name", ["jsonl", "speech jsonl", "images jsonl"])
@FUZZ
@given(records=st.lists(st.dictionaries(st.sampled_from(FIELDS), values, min_size=3), min_size=1, max_size=3))
@example(records=[{"audio": "a", "text": "b", "duration": 10**400}])
@example(records=[{"audio": "a", "text": "b", "speaker": 10**5000}])
def test_records_of_any_values(tmp_path: Path, name: str, records: list[dict[str, Any]]) -> None:
    path = tmp_path / "file"
    try:
        path.write_text("\n".join(map(json.dumps, records)))
    except ValueError:
        return  # an integer of more digits than Python writes
    read_or_told(READERS[name], path)


@pytest.mark.parametrize("name", ["jsonl", "speech jsonl", "images jsonl", "karpathy", "coco", "squad"])
@pytest.mark.parametrize("content", ["[" * 200_000, '{"a":' * 200_000, '{"source": ' + "1" * 10_000 + "}"])
def test_json_that_is_too_deep_or_too_long(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    assert isinstance(read_or_told(READERS[name], path), DataError)


@FUZZ
@given(lines=st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])), min_size=1))
def test_lines_come_back_as_they_were_written(tmp_path: Path, lines: list[str]) -> None:
    for end in ("\n", "\r\n"):
        content = "".join(line + end for line in lines).encode()
        (tmp_path / "train.a").write_bytes(content)
        (tmp_path / "train.b.gz").write_bytes(gzip.compress(content))
        found = read_or_told(lambda path: AlignedText(path.parent, "a", "b").read("train"), tmp_path / "train.a")
        if isinstance(found, DataError):
            assert not content.removeprefix(b"\xef\xbb\xbf").strip()
            continue
        assert isinstance(found, list)
        first = lines[0].removeprefix("\ufeff")
        assert [pair.source for pair in found] == [first, *lines[1:]]
        assert [pair.targets for pair in found] == [(line,) for line in [first, *lines[1:]]]


# Compressed files


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(1 << 20), 9) * 60)  # 60 MB of one byte, in as many members
    error = read_or_told(read_lines, path)
    assert isinstance(error, DataError)
    assert "unpacks to more than " in str(error)


@pytest.mark.parametrize("cut", [5, 12, -5])
def test_a_truncated_one_is_told(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(b"some words\n" * 100)[:cut])
    assert isinstance(read_or_told(read_lines, path), DataError)


def test_one_of_several_members_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "two.gz"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert read_lines(path) == ["one", "two"]

"""Pairs and tokens in files are those that would be in memory."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.batch import ExtendedTextBatch, Seq2SeqBatch
from core.data.corpus import Corpus, Split, TextPair, spread_references
from core.data.encode import Limits, Overlong, TextDataset, encode_pairs
from core.data.loader import ResumableLoader
from core.data.mapped import ArrayWriter, chunks, make_arrays, mapped
from core.data.records import JsonlCorpus
from core.data.report import SplitReport, count_seen
from core.data.stored_pairs import StoredPairs, cached_pairs, text_digest
from core.data.stored_tokens import StoredTable, cached_tokens
from core.data.text_datamodule import TextDataModule
from core.errors import DataError
from core.tokenization import TokenizerOptions, TrainedTokenizer, train_tokenizer
from tests.core.data.test_datamodule import Sentences

STRANGE = ("grün\u2028 \udc80", ["", "a\nb"])  # what isn't a line, what isn't Unicode, references, nothing


def write(path: Path, train: int = 120) -> Path:
    """Sentences of all lengths, and strange ones."""
    pairs = [(pair.source, list(pair.targets)) for pair in Sentences(train).read("train")]
    records = [{"source": source, "target": targets} for source, targets in [*pairs[:50], STRANGE, *pairs[50:]]]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def in_memory(path: Path) -> list[TextPair]:
    return list(spread_references(JsonlCorpus(path).read("train")))


def stored(path: Path, cache: Path) -> StoredPairs:
    pairs = cached_pairs(JsonlCorpus(path), "train", cache)
    assert pairs is not None
    return pairs


class Memory(Corpus):
    """The same pairs without a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, split: Split) -> list[TextPair]:
        return JsonlCorpus(self.path, self.path, self.path).read(split)


def test_stored_pairs_are_those_that_were_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.jsonl")
    expected = in_memory(path)
    for chunk in (7, 10_000):
        monkeypatch.setattr("core.data.stored_pairs.CHUNK", chunk)
        pairs = stored(path, tmp_path)
        assert list(pairs) == expected == pairs[:]
        assert [pairs[row] for row in (0, 51, -1)] == [expected[row] for row in (0, 51, -1)]
        assert list(pairs.sources) == [pair.source for pair in expected]
        assert list(pairs.targets) == [pair.targets[0] for pair in expected]
    assert len(pairs) == len(expected) == 122
    with pytest.raises(IndexError):
        pairs[len(expected)]
    chosen = pairs.select(np.array([3, 50]))
    assert list(chosen) == [chosen[0], chosen[1]] == [expected[3], expected[50]]
    assert chosen.ids == [3, 50]


def test_texts_are_told_apart_as_in_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl")
    pairs, expected = stored(path, tmp_path), in_memory(path)
    assert text_digest(pairs.sources) == text_digest([pair.source for pair in expected])
    assert text_digest(pairs.targets) == text_digest([pair.targets[0] for pair in expected])
    others = [*expected[40:60], TextPair(0, "the", ("x",)), TextPair(1, "", ("x",))]
    assert count_seen(others, pairs) == count_seen(others, expected) == 20


def test_a_file_is_read_once_and_again_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    iterate = JsonlCorpus.iterate

    def counted(corpus: JsonlCorpus, split: Split) -> Iterator[TextPair]:
        read.append(split)
        return iterate(corpus, split)

    monkeypatch.setattr(JsonlCorpus, "iterate", counted)
    path = write(tmp_path / "a.jsonl")
    for _ in range(2):
        assert len(stored(path, tmp_path)) == 122
    assert len(read) == 1
    write(path, 130)
    assert len(stored(path, tmp_path)) == 132
    turned = cached_pairs(JsonlCorpus(path, target_column="source"), "train", tmp_path)
    assert len(read) == 3
    assert turned is not None
    with pytest.raises(DataError, match="no such file"):
        stored(tmp_path / "none.jsonl", tmp_path)


def test_a_bad_line_leaves_nothing_that_is_taken_for_the_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl")
    whole = path.read_text()
    path.write_text(whole + "{\n")
    with pytest.raises(DataError, match=r"a\.jsonl:122: not JSON"):
        stored(path, tmp_path)
    left = sorted(each.name for each in (tmp_path / "pairs").rglob("*") if each.is_file())
    assert left == ["lock"]


def test_arrays_that_were_cut_short_are_written_anew(tmp_path: Path) -> None:
    def fill(writer: ArrayWriter) -> dict[str, Any]:
        filled.append(1)
        writer.add("a", [1, 2])
        writer.add("a", [3])
        return {"sum": 6}

    filled: list[int] = []
    for _ in range(2):
        assert make_arrays(tmp_path, {"a": "i4", "b": "i8"}, fill) == {"sum": 6}
    assert len(filled) == 1
    (tmp_path / "a.bin").write_bytes(bytes(8))
    assert make_arrays(tmp_path, {"a": "i4", "b": "i8"}, fill) == {"sum": 6}
    assert len(filled) == 2
    assert mapped(tmp_path, "a", "i4").tolist() == [1, 2, 3]
    assert mapped(tmp_path, "b", "i8").tolist() == []
    assert list(chunks(range(5), 2)) == [[0, 1], [2, 3], [4]]


def tokenizer(pairs: list[TextPair]) -> TrainedTokenizer:
    return train_tokenizer([pair.source for pair in pairs], TokenizerOptions(kind="words", vocab_size=60))


def rows(dataset: TextDataset) -> list[tuple[object, ...]]:
    examples = [dataset[row] for row in range(len(dataset))]
    assert all(each.target is not None for each in examples)
    return [
        (each.id, each.source.tolist(), each.target.tolist(), each.source_text, each.references)  # type: ignore[union-attr]
        for each in examples
    ]


@pytest.mark.parametrize("overlong", ["drop", "truncate"])
def test_stored_tokens_are_those_that_would_be_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overlong: Overlong
) -> None:
    path = write(tmp_path / "a.jsonl")
    expected_pairs = in_memory(path)
    sides, limits = (tokenizer(expected_pairs),) * 2, Limits(6, 7, overlong)
    expected, expected_report = encode_pairs(expected_pairs, *sides, limits, training=True)
    monkeypatch.setattr("core.data.mapped.chunks.__defaults__", (11,))
    dataset, report = cached_tokens(stored(path, tmp_path), *sides, limits, tmp_path)
    assert report == expected_report
    assert report.dropped > 0
    assert rows(dataset) == rows(expected)
    assert dataset.source_lengths.tolist() == expected.source_lengths.tolist()
    assert dataset.target_lengths.tolist() == expected.target_lengths.tolist()
    assert dataset.ids == expected.ids
    assert dataset.name(60) == expected.name(60)
    in_pieces, report = encode_pairs(stored(path, tmp_path), *sides, limits, training=True)
    assert rows(in_pieces) == rows(expected)
    assert report == expected_report
    monkeypatch.setattr("core.data.stored_tokens.cut_pairs", None)  # cutting again would fail
    again, report = cached_tokens(stored(path, tmp_path), *sides, limits, tmp_path)
    assert rows(again) == rows(expected)
    assert report == expected_report
    content = pickle.dumps(again)
    assert len(content) < 2000  # the places of files, where processes don't fork
    assert rows(pickle.loads(content)) == rows(expected)


def test_other_limits_and_tokenizers_are_other_entries(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl")
    pairs, one = stored(path, tmp_path), tokenizer(in_memory(path))
    other = train_tokenizer(["abc"], TokenizerOptions(kind="characters", min_frequency=1))
    tried = [(one, one, Limits()), (one, one, Limits(4)), (one, other, Limits()), (other, one, Limits())]
    for _ in range(2):
        for source, target, limits in tried:
            cached_tokens(pairs, source, target, limits, tmp_path)
    assert len(list((tmp_path / "tokens").iterdir())) == len(tried)


def batches(corpus: Corpus, cache: Path, **options: Any) -> tuple[list[Seq2SeqBatch], SplitReport]:
    defaults: dict[str, Any] = {"tokenizer": TokenizerOptions(kind="bpe", vocab_size=300), "batch_tokens": 200}
    data = TextDataModule(corpus, cache_dir=cache, **(defaults | options))
    data.setup("fit")
    loader = data.train_dataloader()
    assert isinstance(loader, ResumableLoader)
    loader.batch_sampler.set_epoch(1)
    return list(loader), data.reports["train"]


OWN_WORDS = TokenizerOptions(kind="words", vocab_size=20, own_words=True)


@pytest.mark.parametrize(
    "options",
    [{}, {"num_workers": 1}, {"bpe_dropout": 0.3}, {"tokenizer": OWN_WORDS}, {"max_source_length": 9}],
    ids=["plain", "workers", "dropout", "own words", "dropped"],
)
def test_batches_are_those_of_a_corpus_in_memory(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write(tmp_path / "a.jsonl")
    expected, expected_report = batches(Memory(path), tmp_path / "memory", **options)
    found, report = batches(JsonlCorpus(path, path, path), tmp_path / "files", **options)
    assert report == expected_report
    assert (tmp_path / "files" / "tokens").exists() == (options.get("tokenizer") is not OWN_WORDS)
    assert not (tmp_path / "memory" / "pairs").exists()
    names = [sorted(each.name for each in (tmp_path / cache / "tokenizers").iterdir()) for cache in ("memory", "files")]
    assert names[0] == names[1]
    for one, other in zip(found, expected, strict=True):
        assert (one.ids, one.source_texts, one.references) == (other.ids, other.source_texts, other.references)
        assert one.source.values.equal(other.source.values)
        assert one.target is not None
        assert other.target is not None
        assert one.target.values.equal(other.target.values)
        if isinstance(other.source, ExtendedTextBatch):
            assert isinstance(one.source, ExtendedTextBatch)
            assert one.source.own_words == other.source.own_words


def _stored(folder: Path) -> list[TextPair]:
    return list(stored(folder / "a.jsonl", folder))


def test_processes_at_the_same_time_get_the_same(tmp_path: Path) -> None:
    expected = in_memory(write(tmp_path / "a.jsonl"))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_stored, [tmp_path] * 2, chunksize=1) == [expected] * 2


def test_a_table_maps_its_files(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl")
    one = tokenizer(in_memory(path))
    dataset, _ = cached_tokens(stored(path, tmp_path), one, one, Limits(), tmp_path)
    assert isinstance(dataset.sources, StoredTable)
    base: Any = dataset.sources.values
    while base is not None and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    assert not dataset.sources.values.flags.writeable

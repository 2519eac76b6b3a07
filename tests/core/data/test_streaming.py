"""Streams: each example once, equally many batches on all ranks, and on from where a run was stopped."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from core.batch import Seq2SeqBatch
from core.data.corpus import TextPair
from core.data.encode import Limits
from core.data.pools import PoolStream, Share
from core.data.stream_loader import Place, halved
from core.data.streaming import StreamedText
from core.data.text_datamodule import TextDataModule
from core.errors import CheckpointError, ConfigError, DataError
from core.tokenization import TokenizerOptions, train_tokenizer
from tests.core.data.streams import BUDGET, corpus, epoch, epochs, loader, records, same, seen, together, write
from tests.core.data.test_resume import Recorder, StoppedError, fit


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "parquet"])
def test_each_example_once_an_epoch_in_batches_within_the_budget(tmp_path: Path, kind: str) -> None:
    sources = write(tmp_path / "d", [50, 7, 44], kind)
    whole = epochs(loader(corpus(tmp_path / "d", kind)), 2)
    for batches in whole:
        assert sorted(seen(batches)) == sorted(sources)
        assert len({index for batch in batches for index in batch.ids}) == 101
        for batch in batches:
            assert batch.target is not None
            assert len(batch) * max(batch.source.values.size(1), batch.target.values.size(1)) <= BUDGET
    assert not same(*whole)
    for one, again in zip(whole, epochs(loader(corpus(tmp_path / "d", kind)), 2), strict=True):
        assert same(one, again)


def test_a_pools_batches_have_examples_of_similar_length(tmp_path: Path) -> None:
    write(tmp_path / "d", [400])
    for batch in epoch(loader(corpus(tmp_path / "d", buffer=200))):
        assert batch.target is not None
        longest = torch.maximum(batch.source.lengths, batch.target.lengths)
        assert int(longest.max() - longest.min()) <= 2  # of 2 to 8


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("sizes", "ranks", "workers"),
    [([50, 50], 2, 1), ([90, 7], 2, 1), ([40, 1, 13], 2, 1), ([35, 3, 30, 9], 2, 2), ([2], 3, 1), ([31, 30, 29], 3, 3)],
)
def test_ranks_see_each_example_once_in_as_many_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, sizes: list[int], ranks: int, workers: int
) -> None:
    sources = write(tmp_path / "d", sizes, kind)
    loaders = [loader(corpus(tmp_path / "d", kind), Share(rank, ranks, workers=workers)) for rank in range(ranks)]
    found = together(monkeypatch, loaders)
    assert len({len(batches) for batches in found}) == 1
    assert sorted(text for batches in found for text in seen(batches)) == sorted(sources)
    ids = [index for batches in found for batch in batches if batch.counts for index in batch.ids]
    assert len(ids) == len(set(ids))
    assert all(any(batch.counts for batch in step) for step in zip(*found, strict=True))  # no update of nothing


def test_ranks_work_on_similar_lengths_at_the_same_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "d", [300, 300])
    one, other = together(monkeypatch, [loader(corpus(tmp_path / "d", buffer=300), Share(rank, 2)) for rank in (0, 1)])
    widths = [(a.source.values.size(1), b.source.values.size(1)) for a, b in zip(one, other, strict=True)]
    assert all(abs(a - b) <= 1 for a, b in widths)
    assert len(set(widths)) > 3


def test_batches_are_halved_until_there_are_enough() -> None:
    assert halved([[1, 2, 3], [4, 5]], 4) == [[1], [2], [3], [4, 5]]
    assert halved([[1], [2, 3]], 2) == [[1], [2, 3]]
    assert halved([[1], [2]], 5) == [[1], [2]]
    assert halved([], 3) == []


@pytest.mark.parametrize(("kind", "workers"), [("jsonl", 1), ("parquet", 1), ("jsonl", 2), ("parquet", 2)])
def test_a_loader_goes_on_at_each_batch_of_an_epoch(tmp_path: Path, kind: str, workers: int) -> None:
    write(tmp_path / "d", [40, 35, 33], kind)
    share = Share(workers=workers)
    batches: list[Seq2SeqBatch] = []
    states: list[dict[str, Any]] = []
    whole = loader(corpus(tmp_path / "d", kind), share, lambda: len(states))
    for batch in islice(whole, 24):  # Lightning asks for a batch before it trains on the one before
        batches.append(batch)
        states.append(json.loads(json.dumps(whole.state_dict())))
    assert {state["places"][0]["epoch"] for state in states} == {0, 1}
    for position, state in enumerate(states):
        again = loader(corpus(tmp_path / "d", kind), share)
        again.load_state_dict(state)
        assert again.state_dict() == state
        assert same(list(islice(again, 24 - position)), batches[position:]), position


def test_processes_read_what_this_one_would(tmp_path: Path) -> None:
    write(tmp_path / "d", [40, 35, 33])
    share = Share(workers=2)
    assert same(*(epoch(loader(corpus(tmp_path / "d"), share, processes=each)) for each in (True, False)))


def test_a_stream_doesn_t_go_on_where_its_batches_would_be_others(tmp_path: Path) -> None:
    write(tmp_path / "d", [40])
    one = loader(corpus(tmp_path / "d"))
    next(iter(one))
    state = one.state_dict()
    with pytest.raises(CheckpointError, match=r"shuffle_buffer: 30 then, 20 now"):
        loader(corpus(tmp_path / "d", buffer=20)).load_state_dict(state)
    with pytest.raises(CheckpointError, match=r"processes that read for each: 1 then, 2 now"):
        loader(corpus(tmp_path / "d"), Share(workers=2)).load_state_dict(state)
    with pytest.raises(CheckpointError, match="the training data is streamed now"):
        one.load_state_dict({"plan": "abc", "about": {}})
    write(tmp_path / "d", [41])
    with pytest.raises(CheckpointError, match="training data: 1 files"):
        loader(corpus(tmp_path / "d")).load_state_dict(state)
    place = Place(5, 3, 1, 2, 0, ({"stream": {"a": 1}},))
    assert Place.from_plain(json.loads(json.dumps(place.plain()))) == place


def spoil(folder: Path) -> None:
    lines = (folder / "train-0.jsonl").read_bytes().splitlines(keepends=True)
    lines[3:3] = [b"{\n", b'{"source": 1, "target": "b"}\n', b'{"source": "\xff"}\n', b"\n"]
    (folder / "train-0.jsonl").write_bytes(b"".join(lines))


def test_bad_lines_are_left_out_and_told_or_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sources = write(tmp_path / "d", [40, 20])
    spoil(tmp_path / "d")
    counted: list[tuple[int, int]] = []
    skipping = corpus(tmp_path / "d", on_bad_example="skip")
    with caplog.at_level(logging.WARNING):
        one = loader(skipping, at_end=lambda report, bad: counted.append((report.pairs, bad)))
        assert sorted(seen(epoch(one))) == sorted(sources)
    assert counted == [(60, 3)]
    assert "3 examples of the stream are left out, 3 so far" in caplog.text
    for told in (r"train-0.jsonl:4: not JSON", ":5: 'source' must be text, got int", ":6: not UTF-8: byte 0xff"):
        assert told in caplog.text
    assert len(skipping.head()) == 60
    strict = corpus(tmp_path / "d")
    for read in (strict.head, lambda: epoch(loader(strict)), lambda: skipping.read("train")):
        with pytest.raises(DataError, match=r"train-0\.jsonl:4: not JSON"):
            read()
    with pytest.raises(DataError, match=r"train-0\.jsonl:4: not JSON"):  # on all ranks, also those that read another
        together(monkeypatch, [loader(strict, Share(rank, 2)) for rank in (0, 1)])


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "d", [40, 20], "parquet")
    path = tmp_path / "d" / "train-1.parquet"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"\*\.parquet: datasets can't "):
        epoch(loader(corpus(tmp_path / "d", "parquet", on_bad_example="skip")))


def test_what_is_dropped_is_counted_and_nothing_at_all_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "d", [30])
    counted: list[tuple[int, int]] = []
    one = loader(
        corpus(tmp_path / "d", buffer=10),
        limits=Limits(3, 9),
        at_end=lambda report, _: counted.append((report.pairs, report.dropped)),
    )
    assert len(seen(epoch(one))) == 14  # of 1 to 7 words there are 5, 5, 4, … sources: those of up to 3 fit
    assert counted == [(30, 16)]
    with pytest.raises(DataError, match=r"the train split has no usable pair \(30 read, 30 dropped\)"):
        epoch(loader(corpus(tmp_path / "d"), limits=Limits(1, 1), tokenizer=CHARACTERS))


CHARACTERS = train_tokenizer(["abn 0123456789"], TokenizerOptions(kind="characters", min_frequency=1))


def test_references_are_training_pairs_each(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"source": "a", "target": ["b", "n"]}\n' * 3)
    batches = epoch(loader(StreamedText(str(tmp_path / "a.jsonl"))))
    assert sorted(reference for batch in batches for reference in batch.references) == [("b",)] * 3 + [("n",)] * 3


def test_options_that_can_t_work_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "d", [4])
    (tmp_path / "d" / "x.txt").write_text("a")
    for options, message in (
        ({"shuffle_buffer": 0}, "shuffle_buffer must be at least 1, got 0"),
        ({"tokenizer_sample": 0}, "tokenizer_sample must be at least 1"),
        ({"on_bad_example": "ignore"}, "must be raise or skip, got 'ignore'"),
    ):
        with pytest.raises(ConfigError, match=message):
            StreamedText("a", **options)
    with pytest.raises(ConfigError, match=r"files that end in \.jsonl, \.txt: all must be JSON lines"):
        StreamedText(str(tmp_path / "d" / "*")).paths("train")
    with pytest.raises(DataError, match="there is no such file"):
        StreamedText(str(tmp_path / "none-*.jsonl")).head()
    with pytest.raises(ConfigError, match=r"no val split: set data\.corpus\.val"):
        StreamedText("a.jsonl").read("val")
    for more in ({"bpe_dropout": 0.1}, {"tokenizer": TokenizerOptions(kind="words", own_words=True)}):
        with pytest.raises(ConfigError, match="StreamedText can't do that"):
            TextDataModule(StreamedText("a.jsonl"), **more)
    with pytest.raises(DataError, match=r"nobody/nothing \(train\): datasets can't open it"):
        StreamedText("train", hub="nobody/nothing").head()


def test_other_splits_are_read_whole(tmp_path: Path) -> None:
    write(tmp_path / "d", [4, 3])
    pairs = StreamedText("x", val=str(tmp_path / "d" / "*.jsonl")).read("val")
    assert pairs == [TextPair(row, each["source"], (each["target"],)) for row, each in enumerate(records(0, 7))]


def module(folder: Path, **options: Any) -> TextDataModule:
    streamed = StreamedText(
        str(folder / "d" / "*.jsonl"), val=str(folder / "d" / "train-1.jsonl"), shuffle_buffer=30, tokenizer_sample=50
    )
    defaults: dict[str, Any] = {"tokenizer": TokenizerOptions(kind="bpe", vocab_size=300), "batch_tokens": 40}
    return TextDataModule(streamed, cache_dir=folder / "cache", **(defaults | options))


EVERY_STEPS: dict[str, Any] = {"every_n_train_steps": 4}
AFTER_VALIDATION: dict[str, Any] = {"save_on_train_epoch_end": False}
STEPS: dict[str, Any] = {"max_epochs": -1, "max_steps": 36, "check_val_every_n_epoch": None}


@pytest.mark.parametrize(
    ("saved", "options", "stop_after", "begins", "arguments"),
    [
        pytest.param(EVERY_STEPS, {}, 6, 4, {}, id="first epoch"),
        pytest.param(EVERY_STEPS, {"accumulate_grad_batches": 2}, 60, 56, {"num_workers": 2}, id="workers"),
        pytest.param(AFTER_VALIDATION, {"val_check_interval": 8}, 31, 24, {}, id="after validation"),
    ],
)
def test_a_resumed_run_sees_what_it_had_not_seen(
    tmp_path: Path,
    saved: dict[str, Any],
    options: dict[str, Any],
    stop_after: int,
    begins: int,
    arguments: dict[str, Any],
) -> None:
    sources = write(tmp_path / "d", [70, 50])
    options = STEPS | options
    whole = fit(tmp_path, Recorder(), module(tmp_path, **arguments), **options)
    counts = [len(ids) for _, ids, _ in whole.seen]
    assert len(sources) in accumulate(counts), "an epoch has each example once"
    assert len(whole.seen) == 36 * options.get("accumulate_grad_batches", 1)
    checkpoint = ModelCheckpoint(tmp_path / "saved", save_last=False, save_top_k=1, **saved)
    with pytest.raises(StoppedError):
        fit(tmp_path, Recorder(stop_after), module(tmp_path, **arguments), checkpoint, **options)
    resumed = fit(
        tmp_path, Recorder(), module(tmp_path, **arguments), None, Path(checkpoint.best_model_path), **options
    )
    assert resumed.seen == whole.seen[begins:]
    assert resumed.weight.item() == whole.weight.item()


def test_a_number_of_epochs_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "d", [20, 20])
    with pytest.raises(ConfigError, match=r"trainer\.max_epochs is 3, .* set it to -1 and trainer\.max_steps"):
        fit(tmp_path, Recorder(), module(tmp_path))


def test_pools_go_on_where_one_ended(tmp_path: Path) -> None:
    write(tmp_path / "d", [25, 30], "parquet")
    reading = loader(corpus(tmp_path / "d", "parquet", buffer=10)).reading
    pools = list(PoolStream(reading, Share(1, 2), epoch=2))
    texts = [[pair.source for pair in pool.dataset.pairs] for pool in pools]
    for number, pool in enumerate(pools):
        rest = PoolStream(reading, Share(1, 2), epoch=2, state=pool.after)
        assert [[pair.source for pair in each.dataset.pairs] for each in rest] == texts[number + 1 :]
    other = PoolStream(reading, replace(Share(1, 2), rank=0), epoch=2)
    assert sum(len(pool.dataset) for pool in other) + sum(map(len, texts)) == 55

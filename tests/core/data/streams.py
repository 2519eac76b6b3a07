"""Streams of numbers in words, and what several ranks read of them in one process."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from core.batch import Seq2SeqBatch
from core.data import stream_loader
from core.data.encode import Limits
from core.data.pools import Reading, Share
from core.data.report import SplitReport
from core.data.stream_loader import StreamLoader
from core.data.streaming import StreamedText
from core.tokenization import TokenizerOptions, TrainedTokenizer, train_tokenizer


def records(begin: int, end: int) -> list[dict[str, str]]:
    """Numbers in words of all lengths; the first word is the record's own."""
    return [
        {"source": f"n{row}" + " a" * (row % 7), "target": f"n{row}" + " b" * (row % 5)} for row in range(begin, end)
    ]


def write(folder: Path, sizes: Sequence[int], kind: str = "jsonl") -> list[str]:
    """Files of so many records each; returns all sources."""
    begin, sources = 0, []
    folder.mkdir(exist_ok=True)
    for number, size in enumerate(sizes):
        rows = records(begin, begin + size)
        begin += size
        sources += [row["source"] for row in rows]
        path = folder / f"train-{number}.{kind}"
        if kind == "parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=10)
        else:
            data = "".join(json.dumps(row) + "\n" for row in rows).encode()
            path.write_bytes(gzip.compress(data) if kind.endswith("gz") else data)
    return sources


WORDS = train_tokenizer(["a b n"], TokenizerOptions(kind="words", vocab_size=60, min_frequency=1))
BUDGET = 60
ALONE, UNLIMITED = Share(), Limits()


def loader(
    corpus: StreamedText,
    share: Share = ALONE,
    position: Callable[[], int] = lambda: 0,
    limits: Limits = UNLIMITED,
    **options: Any,
) -> StreamLoader:
    tokenizer: TrainedTokenizer = options.pop("tokenizer", WORDS)
    reading = Reading(corpus, tokenizer, tokenizer, limits, seed=1)
    return StreamLoader(reading, BUDGET, "longest", position, share, **options)


def corpus(folder: Path, kind: str = "jsonl", buffer: int = 30, **options: Any) -> StreamedText:
    return StreamedText(str(folder / f"*.{kind}"), shuffle_buffer=buffer, **options)


def epochs(one: StreamLoader, count: int = 1) -> list[list[Seq2SeqBatch]]:
    """The batches of so many epochs."""
    found: list[list[Seq2SeqBatch]] = [[]]
    at_end = one.at_end

    def begin(report: SplitReport, bad: int) -> None:
        at_end(report, bad)
        found.append([])

    one.at_end = begin
    for batch in one:
        if len(found) > count:
            break
        found[-1].append(batch)
    one.at_end = at_end
    return found[:count]


def epoch(one: StreamLoader) -> list[Seq2SeqBatch]:
    return epochs(one)[0]


def together(monkeypatch: pytest.MonkeyPatch, loaders: Sequence[StreamLoader]) -> list[list[Seq2SeqBatch]]:
    """An epoch of several ranks in one process: what a rank says is answered when all have said it.

    Returns:
        each rank's batches.
    """
    import threading

    barrier, said = threading.Barrier(len(loaders), timeout=60), {}
    found: list[list[Seq2SeqBatch]] = [[] for _ in loaders]
    errors: list[BaseException] = []

    def union(values: dict[int, Any]) -> dict[int, Any]:
        said.update(values)
        barrier.wait()
        answer = dict(said)
        barrier.wait()
        return answer

    def run(rank: int) -> None:
        try:
            found[rank].extend(epoch(loaders[rank]))
        except BaseException as error:
            errors.append(error)

    monkeypatch.setattr(stream_loader, "union_over_ranks", union)
    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(len(loaders))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.setattr(stream_loader, "union_over_ranks", lambda values: values)
    if errors:
        assert len(errors) == len(loaders), errors
        raise errors[0]
    return found


def seen(batches: Sequence[Seq2SeqBatch]) -> list[str]:
    return [text for batch in batches if batch.counts for text in batch.source_texts]


def same(one: Sequence[Seq2SeqBatch], other: Sequence[Seq2SeqBatch]) -> bool:
    pairs = list(zip_longest(one, other))
    return all(a is not None and b is not None and a.ids == b.ids for a, b in pairs) and all(
        a.source.values.equal(b.source.values) and a.source_texts == b.source_texts for a, b in pairs
    )

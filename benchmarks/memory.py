"""Memory and time to the first batch while a corpus grows: `python -m benchmarks.memory`.

Each case is a process of its own with one process that makes batches (`data.num_workers=1`): training data in Python's
lists as any corpus without files has it, in the token cache (once while it is made, once when it is there), and as a
stream. What is measured of memory is the largest resident set, as the system notes it for each process; of a mapped
file it counts the pages that were looked at, which the system can take back whenever it likes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Environment, add_report_options, publish
from core.data.corpus import Corpus, Split, TextPair
from core.data.records import JsonlCorpus
from core.data.streaming import StreamedText
from core.data.text_datamodule import TextDataModule
from core.tokenization import TokenizerOptions, save_tokenizer, train_tokenizer

WAYS = ("lists", "cache, made", "cache, there", "stream")
HEADER = (
    "way",
    "pairs",
    "CPU seconds to the first batch",
    "seconds to it",
    "peak MB, trainer",
    "peak MB, worker",
    "MB on the disk",
)
TYPES, SHORTEST, LONGEST, CHUNK = 1000, 2, 6, 100_000
HEAD = 20_000  # pairs that the tokenizer is trained from
MB = 1 << 20


class Lists(Corpus):
    """The same pairs as a corpus that isn't of files: all of them in memory."""

    def __init__(self, train: Path, val: Path) -> None:
        self.files_of = JsonlCorpus(train, val)

    def read(self, split: Split) -> list[TextPair]:
        """Reads one split."""
        return self.files_of.read(split)


def write_pairs(path: Path, count: int, seed: int = 1) -> None:
    """Writes so many pairs of two to six words of a thousand, the target's words being the source's turned round."""
    draw = np.random.default_rng(seed)
    words = [f"{a}{b}{c}" for a in "bdfgklmnpr" for b in "aeiou" for c in "bdfgklmnprstvwxyzchq"][:TYPES]
    with path.open("w", encoding="utf-8") as file:
        for begin in range(0, count, CHUNK):
            sizes = draw.integers(SHORTEST, LONGEST + 1, min(CHUNK, count - begin)).tolist()
            drawn = [words[index] for index in draw.integers(0, TYPES, sum(sizes)).tolist()]
            file.writelines(map(_line, _runs(drawn, sizes)))


def _runs(words: list[str], sizes: Sequence[int]) -> Iterator[list[str]]:
    begin = 0
    for size in sizes:
        yield words[begin : begin + size]
        begin += size


def _line(words: list[str]) -> str:
    return f'{{"source": "{" ".join(words)}", "target": "{" ".join(reversed(words))}"}}\n'


@dataclass(frozen=True)
class Files:
    """What the cases read: `folder` has train.jsonl, val.jsonl and tokenizer.json, and the cache in cache/."""

    folder: Path

    def write(self, pairs: int) -> None:
        """Writes them, and forgets the cache."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        write_pairs(self.folder / "train.jsonl", pairs)
        write_pairs(self.folder / "val.jsonl", 100, seed=2)
        head = islice(JsonlCorpus(self.folder / "train.jsonl").iterate("train"), HEAD)
        texts = (text for pair in head for text in (pair.source, pair.targets[0]))
        save_tokenizer(train_tokenizer(texts, TokenizerOptions(vocab_size=2000)), self.folder / "tokenizer.json")

    def corpus(self, way: str) -> Corpus:
        """The corpus of a way."""
        train, val = self.folder / "train.jsonl", self.folder / "val.jsonl"
        if way == "stream":
            return StreamedText(str(train), str(val))
        return Lists(train, val) if way == "lists" else JsonlCorpus(train, val)

    def megabytes(self, way: str) -> float:
        """What a way needs on the disk."""
        paths = [self.folder / "train.jsonl"]
        if way.startswith("cache"):
            paths += [path for path in (self.folder / "cache").rglob("*") if path.is_file()]
        return sum(path.stat().st_size for path in paths) / MB


def measure(files: Files, way: str, batches: int) -> dict[str, float]:
    """Reads some batches as training does, in this process and one worker; call it in a fresh process."""
    started, cpu = time.perf_counter(), _cpu()
    data = TextDataModule(
        files.corpus(way),
        tokenizers=files.folder / "tokenizer.json",
        batch_tokens=4096,
        num_workers=1,
        cache_dir=files.folder / "cache",
    )
    data.setup("fit")
    loader = iter(data.train_dataloader())
    next(loader)
    first = time.perf_counter() - started
    used = _cpu() - cpu + sum(map(_cpu_of, _workers()))
    worker = max(map(_peak, _workers()))
    for _ in islice(loader, batches - 1):  # a worker that is at its end is gone
        worker = max([worker, *map(_peak, _workers())])
    return {"cpu": used, "seconds": first, "trainer": _peak(os.getpid()), "worker": worker}


def _workers() -> list[int]:
    return [worker.pid for worker in multiprocessing.active_children() if worker.pid is not None]


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _cpu_of(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak(process: int) -> float:
    """The largest resident set of a process so far, in MB."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return max((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), default=0.0)


def run(files: Files, way: str, batches: int) -> dict[str, Any]:
    """Measures in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.memory", "--case", way, "--folder", str(files.folder)]
    done = subprocess.run([*command, "--batches", str(batches)], check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    add_report_options(parser, "memory")
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000, 1_000_000, 10_000_000], help="%(default)s")
    parser.add_argument("--most_in_lists", type=int, default=1_000_000, help="no more pairs in lists: %(default)s")
    parser.add_argument("--batches", type=int, default=300, help="read in each case (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/memory"), help="of the files: %(default)s")
    parser.add_argument("--case", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    files = Files(options.folder)
    if options.case:
        print(json.dumps(measure(files, options.case, options.batches)))
        return
    environment = Environment.here(options.threads)
    rows: list[tuple[object, ...]] = []
    for pairs in options.pairs:
        files.write(pairs)
        for way in WAYS:
            if way == "lists" and pairs > options.most_in_lists:
                continue
            found = run(files, way, options.batches)
            numbers = (found["cpu"], found["seconds"], round(found["trainer"]), round(found["worker"]))
            rows.append((way, pairs, *numbers, round(files.megabytes(way))))
            publish(TITLE, HEADER, rows, environment, options.output)  # a long benchmark: what there is so far
    shutil.rmtree(options.folder, ignore_errors=True)


TITLE = "Memory and time to the first batch"

if __name__ == "__main__":
    main()

"""Examples that can't be read any more in the middle of a run: told by name, and left out where that is allowed."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch.utils.data import Dataset, get_worker_info

from core.batch import Seq2SeqBatch
from core.data.collate import Example
from core.data.dataset import ExampleDataset
from core.errors import ConfigError, DataError

_log = logging.getLogger(__name__)

OTHERS = 20  # how many further examples are tried where a batch has none that can be read

DEAD = re.compile(r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed|exited unexpectedly)")


@dataclass(frozen=True)
class Unreadable:
    """An example that couldn't be read.

    Attributes:
        index: its place in the dataset.
        reason: why, with its file.
    """

    index: int
    reason: str


@dataclass(frozen=True)
class ReadBatch:
    """What was read of a batch.

    Attributes:
        batch: its examples that could be read; None where there are none.
        unreadable: the others.
    """

    batch: Seq2SeqBatch | None
    unreadable: tuple[Unreadable, ...]

    def pin_memory(self) -> ReadBatch:
        """Returns a copy in page-locked memory."""
        return self if self.batch is None else replace(self, batch=self.batch.pin_memory())


class CheckedExamples(Dataset["Example | Unreadable"]):
    """Examples, or why they can't be read: an error that a worker process raises would arrive as a traceback.

    It also notes which example each worker process is at, for the case that the process dies of it.

    Args:
        inner: the examples.
        num_workers: how many processes read.
    """

    def __init__(self, inner: ExampleDataset, num_workers: int) -> None:
        self.inner = inner
        self._at = torch.zeros(num_workers, 2, dtype=torch.int64)  # process, index
        self._at.share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int) -> Example | Unreadable:
        worker = get_worker_info()
        if worker is not None:
            self._at[worker.id] = torch.tensor([os.getpid(), index])
        try:
            return self.inner[index]
        except DataError as error:
            return Unreadable(index, str(error))

    def collate(self, found: Sequence[Example | Unreadable]) -> ReadBatch:
        """Makes a batch of what could be read.

        One of which nothing can be read gets the next example of the corpus that can: an empty batch would leave other
        ranks waiting. It is always the same one, so that a run that goes on sees what the one before saw.
        """
        examples = [each for each in found if isinstance(each, Example)]
        unreadable = tuple(each for each in found if isinstance(each, Unreadable))
        if not examples:
            examples = self._next_readable(unreadable[-1].index)
        return ReadBatch(self.inner.collate(examples) if examples else None, unreadable)

    def _next_readable(self, index: int) -> list[Example]:
        for further in range(1, min(OTHERS, len(self) - 1) + 1):
            other = self[(index + further) % len(self)]
            if isinstance(other, Example):
                return [other]
        return []

    def at_work(self, process: int) -> str | None:
        """The name of the example that a worker process is or was at; None where it isn't one of these."""
        for number, index in self._at.tolist():
            if number == process:
                return self.inner.name(index)
        return None


class Allowance:
    """How many examples a run may leave out for not being readable; an example counts once, however often it is met.

    Args:
        limit: so many.

    Raises:
        ConfigError: it is negative.
    """

    def __init__(self, limit: int) -> None:
        if limit < 0:
            raise ConfigError(f"data.max_unreadable must be at least 0, got {limit}")
        self.limit = limit
        self.known: set[int] = set()

    def take(self, read: ReadBatch) -> Seq2SeqBatch:
        """The batch, where what it lacks is allowed.

        Raises:
            DataError: it isn't; names the file.
        """
        for each in read.unreadable:
            if each.index in self.known:
                continue
            if len(self.known) >= self.limit:
                raise DataError(f"{each.reason}{self._told()}")
            self.known.add(each.index)
            _log.warning("left out, %d of %d that may be: %s", len(self.known), self.limit, each.reason)
        if read.batch is None:
            raise DataError(f"{read.unreadable[-1].reason}, nor can any of the {OTHERS} examples after it")
        return read.batch

    def _told(self) -> str:
        left_out = f"; {len(self.known)} were left out before" if self.known else ""
        return f" (in the middle of a run{left_out}; data.max_unreadable={self.limit} is how many may be left out)"


def dead_worker(error: Exception, datasets: Iterable[CheckedExamples], dead: Sequence[int] = ()) -> DataError | None:
    """What to tell of a process that made batches and died; None where an error isn't about one.

    Args:
        error: what PyTorch raised.
        datasets: that the process may have read.
        dead: the numbers of processes that are known to have died; empty to take them from PyTorch's words.
    """
    if not dead:
        found = DEAD.search(str(error))
        if found is None:
            return None
        dead = [int(number) for number in found[1].split(",")]
    names = [name for dataset in datasets for number in dead if (name := dataset.at_work(number)) is not None]
    at = f" at work on {', '.join(names)}" if names else ""
    return DataError(
        f"a process that makes batches (data.num_workers) was killed or crashed{at}. Where its memory was too small, "
        "lower data.num_workers or the size of a batch; data.num_workers=0 shows an error in the file itself"
    )

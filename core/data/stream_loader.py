"""Batches of a stream: of similar length within a pool, equally many on all ranks, and from where a stopped run was.

Letters: R ranks, W processes that read for each.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from core.batch import Seq2SeqBatch
from core.data.collate import Example, collate, pad_tokens
from core.data.loader import check_plan, heed_the_parent_alone
from core.data.pools import Pool, PoolStream, Reading, Share, State
from core.data.report import SplitReport
from core.data.sampler import BucketBatchSampler, Budget
from core.distributed import union_over_ranks
from core.errors import DataError

_log = logging.getLogger(__name__)

KEPT = 8  # places that are remembered: Lightning asks for a batch before it trains on the one before


@dataclass(frozen=True)
class Place:
    """Where a rank is.

    Attributes:
        epoch: the epochs before.
        batch: the batches before, of all epochs.
        pool: the pools of the epoch before the one that the next batch is of.
        begun: the batches of that pool before it.
        turn: the process that the pool is of.
        states: where each process's next pool begins, that pool among them.
        report: the counts of the epoch's pools before.
        bad: how many examples of them couldn't be used.
    """

    epoch: int
    batch: int
    pool: int
    begun: int
    turn: int
    states: tuple[State, ...]
    report: SplitReport = field(default_factory=lambda: SplitReport(0))
    bad: int = 0

    def plain(self) -> dict[str, Any]:
        """As plain data, for a checkpoint."""
        return asdict(self) | {"states": list(self.states)}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Place:
        """Makes the place that gave this plain data."""
        return cls(**plain | {"states": tuple(plain["states"]), "report": SplitReport(**plain["report"])})


@dataclass(frozen=True)
class Said:
    """What a rank tells the others before a pool's batches.

    Attributes:
        batches: how many it has.
        left: whether it had a pool at all.
        bad: the examples of it that can't be used.
        told: the first of them.
        error: what ends the run.
    """

    batches: int
    left: bool
    bad: int = 0
    told: tuple[str, ...] = ()
    error: str | None = None


class StreamLoader:
    """Yields one rank's batches, epoch after epoch without an end, from the position of the run on.

    For Lightning it is one epoch: it asks for the first batch before it says which epoch it is in, and loses count
    where a run goes on from the end of an epoch whose length isn't known.

    All ranks have as many batches of a pool as the rank with the most, before each of them goes on to its next pool:
    the others halve their largest ones until they do. A rank that has fewer examples than that, or that has come to its
    end before the others, gets batches that don't count (`Seq2SeqBatch.counts`): it takes part in these updates with a
    weight of nothing. So each example is seen once an epoch, whatever their number and however long a rank's files are.

    What a pool's batches are follows from the seed, the epoch, the pool's number and what is in it. At the same step
    ranks have batches of similar place in the order of lengths.

    Args:
        reading: how examples are used.
        batch_tokens: the most tokens of a batch, padding included.
        budget: what is counted.
        position: the number of batches that were trained on; asked where a checkpoint is written.
        share: of this rank.
        pin_memory: give batches in page-locked memory.
        processes: whether W processes read, or this one.
        at_end: gets the counts of all ranks when an epoch is over, and how many examples couldn't be used.
    """

    def __init__(
        self,
        reading: Reading,
        batch_tokens: int,
        budget: Budget,
        position: Callable[[], int],
        share: Share,
        *,
        pin_memory: bool = False,
        processes: bool = False,
        at_end: Callable[[SplitReport, int], None] = lambda report, bad: None,
    ) -> None:
        self.reading, self.batch_tokens, self.budget = reading, batch_tokens, budget
        self.position, self.share, self.at_end = position, share, at_end
        self.pin_memory, self.processes = pin_memory, processes
        self._places: deque[Place] = deque(maxlen=KEPT)
        self._loaded: Place | None = None

    def __iter__(self) -> Iterator[Seq2SeqBatch]:
        place = self._loaded or self._beginning(0, 0)
        self._loaded = None
        self._places.clear()
        self._places.append(place)
        while True:
            place = yield from self._epoch(place)

    def _beginning(self, epoch: int, batch: int) -> Place:
        return Place(epoch, batch, 0, 0, 0, tuple({} for _ in range(self.share.workers)))

    def _epoch(self, place: Place) -> Generator[Seq2SeqBatch, None, Place]:
        """Yields what is left of an epoch from a place on, and returns the next one's beginning."""
        streams = [self._pools(worker, place.epoch, state) for worker, state in enumerate(place.states)]
        while True:
            pool, turn = _next_of(streams, place.turn)
            place = replace(place, turn=turn)
            plan = self._plan(pool, place)
            wanted, bad = self._agree(pool, plan, place.bad)
            if wanted is None:
                return self._finish(place)
            plan = halved(plan, wanted)
            order = np.random.default_rng(self._seed(place)).permutation(wanted).tolist()
            for number in order[place.begun :]:
                place = replace(place, batch=place.batch + 1, begun=place.begun + 1)
                self._places.append(place)
                yield self._batch(pool, plan[number] if number < len(plan) else [])
            place = self._after(place, pool, bad)

    def _pools(self, worker: int, epoch: int, state: State) -> Iterator[Pool]:
        """What one process reads, or what this one reads in its place."""
        stream = PoolStream(self.reading, replace(self.share, worker=worker), epoch, state)
        if not self.processes:
            return iter(stream)
        loader = DataLoader(
            stream, batch_size=None, num_workers=1, collate_fn=_itself, worker_init_fn=heed_the_parent_alone
        )
        return iter(loader)

    def _plan(self, pool: Pool | None, place: Place) -> list[list[int]]:
        """A pool's batches in the order of their lengths."""
        if pool is None or not len(pool.dataset):
            return []
        lengths = pool.dataset.source_lengths, pool.dataset.target_lengths
        sampler = BucketBatchSampler(*lengths, self.batch_tokens, budget=self.budget)
        return sampler.ascending(np.random.default_rng(self._seed(place)))

    def _seed(self, place: Place) -> tuple[int, int, int]:
        """Of a pool's batches: the same on all ranks, so that the order is too."""
        return self.reading.seed, place.epoch, place.pool

    def _agree(self, pool: Pool | None, plan: Sequence[object], before: int) -> tuple[int | None, int]:
        """How many batches all ranks make of their pools, None at the end; and how many bad examples all have now.

        Raises:
            DataError: a rank can't go on; all raise the same.
        """
        own = Said(len(plan), False) if pool is None else Said(len(plan), True, pool.bad, pool.told, pool.error)
        said = [each for _, each in sorted(union_over_ranks({self.share.rank: own}).items())]
        for each in said:
            if each.error is not None:
                raise DataError(each.error)
        bad = sum(each.bad for each in said)
        if self.share.rank == 0 and bad:
            shown = "; ".join(text for each in said for text in each.told)
            _log.warning("%d examples of the stream are left out, %d so far: %s", bad, before + bad, shown)
        return max(each.batches for each in said) if any(each.left for each in said) else None, before + bad

    def _batch(self, pool: Pool | None, indices: Sequence[int]) -> Seq2SeqBatch:
        if pool is not None and indices:
            batch = pool.dataset.collate([pool.dataset[index] for index in indices])
        else:
            batch = stand_in(self.reading.target_tokenizer.specials.eos, self.reading.target_tokenizer.specials.pad)
        return batch.pin_memory() if self.pin_memory else batch

    def _after(self, place: Place, pool: Pool | None, bad: int) -> Place:
        """The place behind a pool."""
        place = replace(place, pool=place.pool + 1, begun=0, bad=bad)
        if pool is None:
            return place
        states = list(place.states)
        states[place.turn] = pool.after
        turn = (place.turn + 1) % len(states)
        return replace(place, states=tuple(states), turn=turn, report=place.report + pool.report)

    def _finish(self, place: Place) -> Place:
        reports = union_over_ranks({self.share.rank: place.report})
        report = sum(reports.values(), SplitReport(0))
        if report.dropped == report.pairs:
            raise DataError(
                f"the train split has no usable pair ({report.pairs} read, {report.dropped} dropped)",
                self.reading.corpus.place("train"),
            )
        self.at_end(report, place.bad)
        return self._beginning(place.epoch + 1, place.batch)

    def state_dict(self) -> dict[str, Any]:
        """Where all ranks are, and what their plans follow from. All ranks must ask at the same time."""
        places = union_over_ranks({self.share.rank: self._place().plain()})
        return {"stream": self.about, "places": [places[rank] for rank in sorted(places)]}

    def _place(self) -> Place:
        """The place of the run, which has trained on fewer batches than Lightning has asked for."""
        if not self._places:
            return self._loaded or self._beginning(0, 0)
        position = self.position()
        found = [place for place in self._places if place.batch == position]
        assert found, f"batch {position} isn't among the last {KEPT}, up to {self._places[-1].batch}"
        return found[0]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where a checkpoint says.

        Raises:
            CheckpointError: what the batches follow from has changed; says what.
        """
        check_plan(
            state.get("stream", {}), self.about, None if "places" in state else "the training data is streamed now"
        )
        self._loaded = Place.from_plain(state["places"][self.share.rank])

    @property
    def about(self) -> dict[str, Any]:
        """What the batches follow from, in words for a person."""
        corpus = self.reading.corpus
        return {
            "ranks": self.share.ranks,
            "processes that read for each": self.share.workers,
            "training data": corpus.identity(),
            "data.corpus.shuffle_buffer": corpus.shuffle_buffer,
            "data.batch_tokens": self.batch_tokens,
            "data.budget": self.budget,
            "lengths": str(self.reading.limits),
            "data.seed": self.reading.seed,
        }


def _next_of(streams: list[Iterator[Pool]], turn: int) -> tuple[Pool | None, int]:
    """The next pool of the process whose turn it is, or of the next one that isn't at its end; and whose it is."""
    for offset in range(len(streams)):
        worker = (turn + offset) % len(streams)
        pool = next(streams[worker], None)
        if pool is not None:
            return pool, worker
    return None, turn


def halved(batches: Sequence[list[int]], wanted: int) -> list[list[int]]:
    """Halves the batches with the most examples until there are so many, or none can be halved."""
    found = list(batches)
    while len(found) < wanted:
        largest = max(range(len(found)), key=lambda number: len(found[number]), default=0)
        if not found or len(found[largest]) < 2:
            break
        middle = len(found[largest]) // 2
        found[largest : largest + 1] = [found[largest][:middle], found[largest][middle:]]
    return found


def stand_in(eos: int, pad: int) -> Seq2SeqBatch:
    """A batch that doesn't count, for a rank without an example: the end token on both sides."""
    end = torch.tensor([eos])
    batch = collate([Example(-1, end, end, "", ("",))], partial(pad_tokens, pad=pad), pad)
    return replace(batch, counts=False)


def _itself(pool: Any) -> Any:
    return pool

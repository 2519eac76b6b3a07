"""A stream of texts cut into pools: so many examples that batches of similar length can be made of them.

Letters: R ranks, W processes that read for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from torch.utils.data import IterableDataset

from core.data.corpus import TextPair, spread_references
from core.data.encode import Limits, TextDataset, encode_pairs
from core.data.report import SplitReport
from core.data.streaming import StreamedText, told
from core.errors import DataError
from core.tokenization import TrainedTokenizer

TOLD = 5  # bad examples of a pool that are told

State = dict[str, Any]


@dataclass(frozen=True)
class Reading:
    """How a stream's examples are used.

    Attributes:
        corpus: what is streamed.
        source_tokenizer: cuts the sources.
        target_tokenizer: cuts the targets.
        limits: lengths, and what happens beyond them.
        seed: of the order of the files.
    """

    corpus: StreamedText
    source_tokenizer: TrainedTokenizer
    target_tokenizer: TrainedTokenizer
    limits: Limits
    seed: int


@dataclass(frozen=True)
class Pool:
    """The examples that were read together.

    Attributes:
        dataset: those that are used.
        report: what was counted.
        after: where the next pool begins: what `PoolStream` takes to go on from there.
        bad: how many can't be used.
        told: what is wrong with the first of these.
        error: what ends the run, if anything does.
    """

    dataset: TextDataset
    report: SplitReport
    after: State
    bad: int = 0
    told: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Share:
    """What one of W processes of one of R ranks reads.

    The files are dealt out to the processes, and those of each process to the ranks by `split_dataset_by_node`; where
    they can't be divided by R, each rank reads all of them and takes one example of R. Either way each example is read
    by one process of one rank.

    Attributes:
        rank: of R.
        ranks: R.
        worker: of W.
        workers: W.
    """

    rank: int = 0
    ranks: int = 1
    worker: int = 0
    workers: int = 1

    def of(self, stream: Any) -> Any:
        """This process's part of a stream."""
        from datasets.distributed import split_dataset_by_node

        own = stream.shard(num_shards=self.workers, index=self.worker, contiguous=False)
        return split_dataset_by_node(own, rank=self.rank, world_size=self.ranks)

    def number(self, count: int) -> int:
        """The number of an example, of which this process has read so many before: no other process has it."""
        return (count * self.workers + self.worker) * self.ranks + self.rank


@dataclass
class PoolStream(IterableDataset[Pool]):
    """The pools of one process in one epoch, in order.

    Attributes:
        reading: how examples are used.
        share: which of them.
        epoch: whose order to read in.
        state: where to begin: empty for the beginning, or a pool's `after`.
    """

    reading: Reading
    share: Share
    epoch: int = 0
    state: State = field(default_factory=dict)

    def __iter__(self) -> Iterator[Pool]:
        corpus = self.reading.corpus
        stream = self.share.of(corpus.stream("train"))
        # Any number above 0 makes `datasets` shuffle the files by it.
        stream.set_epoch(1 + (self.reading.seed % (1 << 20) << 32) + self.epoch)
        count = int(self.state.get("examples", 0))
        if self.state:
            stream.load_state_dict(self.state["stream"])
        records = told(stream, corpus.place("train"))
        while True:
            try:
                found = list(islice(records, corpus.shuffle_buffer))
            except DataError as unread:
                yield self._pool([], {}, error=str(unread))
                return
            if not found:
                return
            pairs, bad = self._pairs(found, count)
            count += len(found)
            error = bad[0] if bad and corpus.on_bad_example == "raise" else None
            after = {"stream": stream.state_dict(), "examples": count}
            yield self._pool(pairs, after, len(bad), tuple(bad[:TOLD]), error=error)

    def _pairs(self, records: list[dict[str, Any]], count: int) -> tuple[list[TextPair], list[str]]:
        """The training pairs of records, and what is wrong with those that have none."""
        pairs: list[TextPair] = []
        bad: list[str] = []
        for number, record in enumerate(records, start=count):
            try:
                pair = self.reading.corpus.pair(record, self.share.number(number), "train")
            except DataError as error:
                bad.append(str(error))
            else:
                pairs.extend(TextPair(pair.id, each.source, each.targets) for each in spread_references([pair]))
        return pairs, bad

    def _pool(
        self, pairs: list[TextPair], after: State, bad: int = 0, told: tuple[str, ...] = (), error: str | None = None
    ) -> Pool:
        reading = self.reading
        sides = reading.source_tokenizer, reading.target_tokenizer
        dataset, report = encode_pairs(pairs, *sides, reading.limits, training=True)
        return Pool(dataset, report, after, bad, told, error)

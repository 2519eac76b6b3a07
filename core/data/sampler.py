"""Batches of examples of similar length, by a budget of tokens.

Letters: N examples, R ranks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from core.errors import ConfigError

Integers = NDArray[np.integer[Any]]
Budget = Literal["longest", "source", "target"]
CHUNK = 1 << 20  # lengths that are worked on at once


def cut(lengths: Integers, max_tokens: int, max_examples: int | None = None) -> list[int]:
    """Cuts ascending lengths into runs whose number times the longest stays within the budget.

    An example that is longer than the whole budget stands alone.

    Args:
        lengths: (N,) ascending.
        max_tokens: the most tokens of a run, padding included.
        max_examples: the most examples of a run; None for no such limit.

    Returns:
        where each run begins, and N at the end.
    """
    if not len(lengths):
        return [0]
    edges, begin = [0], 0
    values, firsts = np.unique(lengths, return_index=True)
    for length, first, end in zip(values.tolist(), firsts.tolist(), [*firsts[1:].tolist(), len(lengths)], strict=True):
        most = max(max_tokens // max(length, 1), 1)
        while begin + (run := min(most, max_examples or most)) < end:
            begin = max(begin + run, first)
            edges.append(begin)
    return [*edges, len(lengths)]


def split_runs(edges: Sequence[int], multiple: int) -> list[int]:
    """Halves the runs with the most examples until there is a multiple of `multiple` runs, or no run can be halved."""
    edges = list(edges)
    while (len(edges) - 1) % multiple:
        sizes = np.diff(edges)
        largest = int(sizes.argmax())
        if sizes[largest] < 2:
            break
        edges.insert(largest + 1, edges[largest] + int(sizes[largest]) // 2)
    return edges


class BucketBatchSampler(Sampler[list[int]]):
    """Yields this rank's batches of one epoch: lists of indices of examples of similar length.

    The plan of an epoch is a pure function of (lengths, options, seed, epoch). The examples are ordered by the length
    that the budget counts, equal ones by the difference of their two lengths, with noise, and then cut into batches.
    Because the cuts follow from the sorted lengths alone, each epoch has the same number of batches, though not the
    same batches. R neighbouring batches are one step of R ranks, so that ranks don't wait for each other; the steps
    are shuffled. All ranks have equally many: the largest batches are halved until that is so.

    `set_epoch` reaches it through Lightning because `sampler` is itself (Lightning looks for `batch_sampler.sampler`).

    Args:
        source_lengths: (N,) in tokens.
        target_lengths: (N,) in tokens.
        max_tokens: the budget: the number of examples times the length of the longest, padding included.
        budget: what is counted: each example's longer side ("longest"), its source or its target.
        max_examples: the most examples of a batch; None for no such limit.
        shuffle: False gives the longest batch first (what is too large for the memory fails at once), always alike.
        seed: of the shuffling.
        rank: this process, from 0.
        world_size: R.
        noise: the difference is sorted up to so many tokens: more mixes better, less pads less.

    Raises:
        ConfigError: an option is out of its range.
    """

    def __init__(
        self,
        source_lengths: Sequence[int] | Integers,
        target_lengths: Sequence[int] | Integers,
        max_tokens: int,
        *,
        budget: Budget = "longest",
        max_examples: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        noise: float = 8.0,
    ) -> None:
        if max_tokens < 1:
            raise ConfigError(f"the budget of a batch (data.batch_tokens, …) must be at least 1, got {max_tokens}")
        if not 0 <= rank < world_size:
            raise ConfigError(f"rank must be in [0, {world_size}), got {rank}")
        # Arrays of what types they have: a mapped file stays one, and nothing here has an object for each example.
        self.source_lengths, self.target_lengths = np.asarray(source_lengths), np.asarray(target_lengths)  # (N,) each
        sides = {"source": self.source_lengths, "target": self.target_lengths}
        self.budgeted = np.maximum(*sides.values()) if budget == "longest" else sides[budget]
        self.shuffle, self.seed, self.noise = shuffle, seed, noise
        self.rank, self.world_size = rank, world_size
        edges = split_runs(cut(np.sort(self.budgeted), max_tokens, max_examples), world_size)
        self.edges = np.asarray(edges)
        self.epoch = 0
        self.begin = 0

    @property
    def sampler(self) -> BucketBatchSampler:
        """Itself: where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose batches come next, from its first batch."""
        self.epoch, self.begin = epoch, 0

    def start_at(self, batch: int) -> None:
        """Leaves out the first batches of the epoch, which were seen before a run was stopped."""
        self.begin = batch

    def __len__(self) -> int:
        """The number of this rank's batches in an epoch, whichever it is and wherever it starts."""
        return -(-(len(self.edges) - 1) // self.world_size)

    def __iter__(self) -> Iterator[list[int]]:
        for step in islice(self.steps(self.epoch), self.begin, None):
            yield step[self.rank]

    def plan(self, epoch: int) -> list[list[int]]:
        """This rank's batches of an epoch."""
        return [step[self.rank] for step in self.steps(epoch)]

    def steps(self, epoch: int) -> Iterator[list[list[int]]]:
        """All ranks' batches of an epoch, made when they are asked for: for each step R lists of indices."""
        random = np.random.default_rng((self.seed, epoch))
        order = self._order(random)
        last, ranks = len(self.edges) - 2, self.world_size
        steps = range(-(-(last + 1) // ranks))

        def batch(number: int) -> list[int]:
            number = min(number, last)  # fewer examples than ranks: some have the same ones
            indices: list[int] = order[self.edges[number] : self.edges[number + 1]].tolist()
            return indices

        if not self.shuffle:
            for step in reversed(steps):
                yield [batch(step * ranks + rank) for rank in range(ranks)]
            return
        for step in random.permutation(len(steps)).tolist():
            yield [batch(step * ranks + rank) for rank in random.permutation(ranks).tolist()]

    def ascending(self, random: np.random.Generator) -> list[list[int]]:
        """All batches in the order of their lengths, mixed as `noise` says by what is drawn."""
        order = self._order(random)
        return [order[begin:end].tolist() for begin, end in pairwise(self.edges)]

    def _order(self, random: np.random.Generator) -> Integers:
        """All examples by the length that the budget counts, equal ones by the difference of lengths, with noise.

        Sorted among equals only, so that no more than the noise is in memory beside the order itself.
        """
        count = len(self.budgeted)
        noise = random.random(count) if self.shuffle else np.zeros(count)
        noise *= self.noise
        order = np.argsort(self.budgeted, kind="stable").astype(np.uint32 if count < 1 << 32 else np.int64)
        edges = [*np.flatnonzero(np.diff(self.budgeted[order], prepend=-1)).tolist(), count]
        for begin, end in pairwise(edges):
            rows = order[begin:end]
            difference = self.source_lengths[rows].astype(np.int64) - self.target_lengths[rows]
            order[begin:end] = rows[np.argsort(difference + noise[rows], kind="stable")]
        return order

    def padding_waste(self, epoch: int = 0) -> float:
        """The share of padding in all positions of an epoch's batches, both sides and all ranks together."""
        order = self._order(np.random.default_rng((self.seed, epoch)))
        sizes = np.diff(self.edges)
        if not len(sizes):
            return 0.0
        repeated = -len(sizes) % self.world_size  # of the last batch, see `steps`
        padded = used = 0
        for lengths in (self.source_lengths, self.target_lengths):
            ordered = lengths[order]
            longest = np.maximum.reduceat(ordered, self.edges[:-1]).astype(np.int64)
            tokens = np.add.reduceat(ordered, self.edges[:-1], dtype=np.int64)
            padded += int((sizes * longest).sum()) + repeated * int(sizes[-1] * longest[-1])
            used += int(tokens.sum()) + repeated * int(tokens[-1])
        return 1 - used / max(padded, 1)

    @property
    def about(self) -> dict[str, int]:
        """What a plan follows from, in words for a person."""
        return {
            "ranks": self.world_size,
            "training examples": len(self.budgeted),
            "their tokens": int(self.source_lengths.sum(dtype=np.int64) + self.target_lengths.sum(dtype=np.int64)),
            "batches of an epoch on all ranks": len(self.edges) - 1,
            "data.seed": self.seed,
        }

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that differ between samplers with different plans."""
        digest = hashlib.sha256()
        for lengths in (self.source_lengths, self.target_lengths):
            for begin in range(0, len(lengths), CHUNK):
                digest.update(lengths[begin : begin + CHUNK].astype(np.int64).tobytes())
        digest.update(self.edges.tobytes())
        digest.update(repr((self.seed, self.shuffle, self.noise, self.world_size)).encode())
        return digest.hexdigest()[:12]

"""Batches of examples of similar length, by a budget of tokens.

Letters: N examples, R ranks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from core.errors import ConfigError

Integers = NDArray[np.int64]
Budget = Literal["longest", "source", "target"]


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
    edges, begin = [0], 0
    for index, length in enumerate(lengths.tolist()):
        count = index - begin + 1
        if count > 1 and (count * length > max_tokens or (max_examples and count > max_examples)):
            edges.append(index)
            begin = index
    return [*edges, len(lengths)] if len(lengths) else edges


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
        self.lengths = np.stack([np.asarray(source_lengths), np.asarray(target_lengths)]).astype(np.int64)  # (2, N)
        sides = {"longest": self.lengths.max(axis=0), "source": self.lengths[0], "target": self.lengths[1]}
        self.budgeted = sides[budget]
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
        yield from self.plan(self.epoch)[self.begin :]

    def plan(self, epoch: int) -> list[list[int]]:
        """This rank's batches of an epoch."""
        return [step[self.rank] for step in self.steps(epoch)]

    def steps(self, epoch: int) -> list[list[list[int]]]:
        """All ranks' batches of an epoch: for each step R lists of indices."""
        random = np.random.default_rng((self.seed, epoch))
        count = len(self.budgeted)
        noise = random.random(count) * self.noise if self.shuffle else np.zeros(count)
        order = np.lexsort((self.lengths[0] - self.lengths[1] + noise, self.budgeted))
        batches = [order[begin:end].tolist() for begin, end in zip(self.edges[:-1], self.edges[1:], strict=True)]
        while len(batches) % self.world_size:
            batches.append(batches[-1])  # fewer examples than ranks: some have the same ones
        steps = [batches[begin : begin + self.world_size] for begin in range(0, len(batches), self.world_size)]
        if not self.shuffle:
            return steps[::-1]
        return [
            [steps[step][rank] for rank in random.permutation(self.world_size)]
            for step in random.permutation(len(steps))
        ]

    def padding_waste(self, epoch: int = 0) -> float:
        """The share of padding in all positions of an epoch's batches, both sides and all ranks together."""
        batches = [batch for step in self.steps(epoch) for batch in step]
        padded = sum(len(batch) * int(self.lengths[:, batch].max(axis=1).sum()) for batch in batches)
        return 1 - sum(int(self.lengths[:, batch].sum()) for batch in batches) / max(padded, 1)

    @property
    def about(self) -> dict[str, int]:
        """What a plan follows from, in words for a person."""
        return {
            "ranks": self.world_size,
            "training examples": len(self.budgeted),
            "their tokens": int(self.lengths.sum()),
            "batches of an epoch on all ranks": len(self.edges) - 1,
            "data.seed": self.seed,
        }

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that differ between samplers with different plans."""
        digest = hashlib.sha256(self.lengths.tobytes() + self.edges.tobytes())
        digest.update(repr((self.seed, self.shuffle, self.noise, self.world_size)).encode())
        return digest.hexdigest()[:12]

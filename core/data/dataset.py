"""What a datamodule's splits are: examples whose lengths are known before they are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from core.batch import Seq2SeqBatch
from core.data.collate import Example

Integers = NDArray[np.integer[Any]]


class ExampleDataset(Dataset[Example], ABC):
    """Examples of one split, N of them.

    Attributes:
        epoch: whose variants to give, where the examples differ from epoch to epoch (`core.data.dropout`).
    """

    epoch: int = 0

    @property
    @abstractmethod
    def source_lengths(self) -> Integers:
        """The sources' lengths in the unit of the batches' budget, (N,)."""

    @property
    @abstractmethod
    def target_lengths(self) -> Integers:
        """The targets' lengths in tokens, end token included, (N,)."""

    @property
    @abstractmethod
    def ids(self) -> list[int]:
        """The examples' numbers in their corpus, N of them."""

    @abstractmethod
    def collate(self, examples: Sequence[Example]) -> Seq2SeqBatch:
        """Makes a batch of examples."""

    def name(self, index: int) -> str:
        """What to call an example in a message: where it has a file of its own, that."""
        return f"example {self.ids[index]}"

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def __getitem__(self, index: int) -> Example:
        """Reads one example."""

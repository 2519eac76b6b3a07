"""What the datamodules of all modalities share: splits made once, and batches that go on where a stopped run was."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader

from core.data.collate import Example
from core.data.corpus import Split
from core.data.dataset import ExampleDataset
from core.data.loader import CheckedLoader, ResumableLoader
from core.data.sampler import BucketBatchSampler, Budget
from core.data.stream_loader import StreamLoader
from core.data.unreadable import Allowance, CheckedExamples, dead_worker
from core.data.vocabularies import Vocabularies
from core.errors import DataError
from core.tokenization import Specials, TrainedTokenizer


class Seq2SeqDataModule(LightningDataModule, ABC):
    """Batches of a corpus, by a budget.

    The trainer must run with `use_distributed_sampler=False`: the batches are divided among ranks here. Subclasses
    keep the contract that `tests.contracts.datamodule.DataModuleContract` tests.

    Args:
        batch_budget: the most of a training batch on one rank, padding included, in the unit of `budget`.
        eval_batch_budget: the same for validation, test and prediction.
        budget: what is counted: each example's longer side ("longest"), its source or its target.
        num_workers: processes that make batches; 0 for none beside the trainer's own.
        seed: of the order of the training batches.
        tokenizers: where trained tokenizers are; None where `vocabularies` trains them.

    Attributes:
        budget_options: the names of the options that limit a batch in training and in evaluation.
        streamed: the splits that are read while they are used, and so are no datasets.
    """

    budget_options: ClassVar[tuple[str, str]] = ("batch_tokens", "eval_batch_tokens")

    def __init__(
        self,
        batch_budget: int,
        eval_batch_budget: int,
        budget: Budget,
        num_workers: int,
        seed: int,
        tokenizers: Path | None,
    ) -> None:
        super().__init__()
        self.batch_budget, self.eval_batch_budget, self.budget = batch_budget, eval_batch_budget, budget
        self.num_workers = num_workers
        self.seed = seed
        self.tokenizers_path = tokenizers
        self.allowance = Allowance(0)
        self._datasets: dict[Split, ExampleDataset] = {}
        self._checked: list[CheckedExamples] = []
        self._told: set[Split] = set()
        self.streamed: tuple[Split, ...] = ()

    @property
    @abstractmethod
    def vocabularies(self) -> Vocabularies:
        """The tokenizers: read, or trained on the training split."""

    @property
    @abstractmethod
    def source_size(self) -> int:
        """The size of the encoder's input, the first argument of its constructor."""

    @abstractmethod
    def make_dataset(self, split: Split) -> ExampleDataset:
        """Reads a split.

        Raises:
            DataError: the data is missing or can't be used.
        """

    @abstractmethod
    def describe(self, splits: Sequence[Split]) -> str:
        """A table for a person: what was counted in these splits, which were made before."""

    @property
    def target_tokenizer(self) -> TrainedTokenizer:
        """The target's."""
        return self.vocabularies.target

    @property
    def vocab_size(self) -> int:
        """The number of target types: the first argument of a decoder."""
        return len(self.target_tokenizer)

    @property
    def specials(self) -> Specials:
        """The target's special ids."""
        return self.target_tokenizer.specials

    def dataset(self, split: Split) -> ExampleDataset:
        """The examples of a split, made once."""
        if split not in self._datasets:
            self._datasets[split] = self.make_dataset(split)
        return self._datasets[split]

    def prepare_data(self) -> None:
        """Trains the tokenizers if there are none yet."""
        _ = self.vocabularies

    def setup(self, stage: str) -> None:
        """Reads the splits that the stage needs, and logs what was counted."""
        needed: dict[str, tuple[Split, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        new = [split for split in needed.get(stage, ()) if split not in self._told]
        for split in new:
            if split not in self.streamed:
                self.dataset(split)
            self._told.add(split)
        if new:
            self.tell(self.describe(new))

    def sampler(self, split: Split) -> BucketBatchSampler:
        """The batches of a split for this rank."""
        dataset, training = self.dataset(split), split == "train"
        return BucketBatchSampler(
            dataset.source_lengths,
            dataset.target_lengths,
            self.batch_budget if training else self.eval_batch_budget,
            budget=self.budget,
            shuffle=training,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )

    def tell(self, text: str) -> None:
        """Logs what a person wants to know, once for all ranks."""
        rank_zero_info("%s", text)

    def train_dataloader(self) -> ResumableLoader | StreamLoader:
        """Shuffled batches; in a run that was resumed in mid-epoch, those that it hadn't seen."""
        examples = self._check("train")
        pin = torch.cuda.is_available()
        return ResumableLoader(examples, self.sampler("train"), self.position, self.allowance, self.num_workers, pin)

    def position(self) -> int:
        """The batches of this epoch that the trainer has behind it."""
        return self.trainer.fit_loop.epoch_loop.batch_progress.current.ready if self.trainer else 0

    def val_dataloader(self) -> DataLoader[Example]:
        """Batches of the validation split, the longest first."""
        return self._evaluation("val")

    def test_dataloader(self) -> DataLoader[Example]:
        """Batches of the test split, the longest first."""
        return self._evaluation("test")

    def _evaluation(self, split: Split) -> DataLoader[Example]:
        pin = torch.cuda.is_available()
        return CheckedLoader(self._check(split), self.sampler(split), Allowance(0), self.num_workers, pin)

    def _check(self, split: Split) -> CheckedExamples:
        self._checked.append(CheckedExamples(self.dataset(split), self.num_workers))
        return self._checked[-1]

    def explain(self, error: RuntimeError) -> DataError | None:
        """What to tell of an error if it is that a process died which made batches; else None."""
        return dead_worker(error, self._checked)

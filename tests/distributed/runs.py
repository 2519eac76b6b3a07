"""Trainings from the command line in one process and on several ranks, compared by what they write."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from core.data.corpus import Split
from core.data.datamodule import Seq2SeqDataModule
from core.data.sampler import BucketBatchSampler
from core.runner import run

if TYPE_CHECKING:
    from core.cli import Load

Weights = dict[str, Tensor]


class Union(BucketBatchSampler):
    """One process's batches: each is the union of what several ranks see in some steps."""

    together = 1

    def __len__(self) -> int:
        return -(-super().__len__() // self.together)

    def steps(self, epoch: int) -> list[list[list[int]]]:
        united = [list(chain.from_iterable(ranks)) for ranks in super().steps(epoch)]
        groups = (united[begin : begin + self.together] for begin in range(0, len(united), self.together))
        return [[list(chain.from_iterable(group))] for group in groups]


def unite(monkeypatch: pytest.MonkeyPatch, ranks: int, steps: int = 1) -> None:
    """Gives one process the training batches that so many ranks see in so many steps, as one."""

    def sampler(data: Seq2SeqDataModule, split: Split) -> BucketBatchSampler:
        if split != "train":
            return own(data, split)
        dataset = data.dataset(split)
        lengths = dataset.source_lengths, dataset.target_lengths
        union = Union(*lengths, data.batch_budget, budget=data.budget, seed=data.seed, world_size=ranks)
        union.together = steps
        return union

    own = Seq2SeqDataModule.sampler
    monkeypatch.setattr(Seq2SeqDataModule, "sampler", sampler)


def train(task: str, load: Load, folder: Path, ranks: int, options: list[str]) -> Weights:
    """Trains on so many ranks and returns the weights of last.ckpt."""
    run(task, "fit", [*options, *distribution(ranks), f"--trainer.default_root_dir={folder}", "--run=one"], load)
    weights: Weights = torch.load(folder / task / "one" / "last.ckpt", weights_only=True)["state_dict"]
    return weights


def distribution(ranks: int) -> list[str]:
    """Options of a run on so many ranks, in processes that fork from this one."""
    strategy = "ddp_fork" if ranks > 1 else "auto"
    return [f"--trainer.devices={ranks}", f"--trainer.strategy={strategy}", "--trainer.accelerator=cpu"]


def furthest(left: Weights, right: Weights) -> tuple[float, str]:
    """The largest difference of two models' weights, and where it is."""
    assert left.keys() == right.keys()
    return max((float((weight.double() - right[name].double()).abs().max()), name) for name, weight in left.items())

"""Trainings from the command line in one process and on several ranks, compared by what they write."""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
STEPS = 20
TRAINING = [
    f"--trainer.max_steps={STEPS}",
    "--trainer.limit_val_batches=0",
    "--trainer.precision=32-true",
    "--trainer.logger=false",
    "--model.schedule.kind=constant",
    "--model.schedule.warmup_steps=0",
    # Not Adam: it doesn't see the gradient's scale, and turns the rounding of a zero gradient into whole steps.
    "--model.optimizer=torch.optim.SGD",
    "--model.optimizer.lr=0.2",
    "--model.optimizer.momentum=0.9",
    "--fit.ema_decay=0",
]


@dataclass(frozen=True)
class Tried:
    """A task that is run on files which are written to a folder, with options for them."""

    task: str
    load: Load
    write: Callable[[Path], None]
    options: Callable[[Path], list[str]]


class Union(BucketBatchSampler):
    """One process's batches: each is the union of what several ranks see in some steps."""

    together = 1

    def __len__(self) -> int:
        return -(-super().__len__() // self.together)

    def steps(self, epoch: int) -> Iterator[list[list[int]]]:
        united = [list(chain.from_iterable(ranks)) for ranks in super().steps(epoch)]
        groups = (united[begin : begin + self.together] for begin in range(0, len(united), self.together))
        return ([list(chain.from_iterable(group))] for group in groups)


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


def score(task: str, load: Load, checkpoint: Path, ranks: int, options: list[str]) -> dict[str, Any]:
    """What `test` leaves beside a checkpoint: run here, or in so many processes as torchrun starts them."""
    options = ["--ckpt_path", str(checkpoint), "--trainer.accelerator=cpu", f"--trainer.devices={ranks}", *options]
    if ranks == 1:
        run(task, "test", options, load)
    else:
        on_ranks(task, "test", load, ranks, [*options, "--trainer.strategy=ddp"])
    report = checkpoint.with_suffix(".test.json")
    found: dict[str, Any] = json.loads(report.read_text())
    found["lines"] = report.with_suffix(".jsonl").read_text()
    return found


def on_ranks(task: str, verb: str, load: Load, ranks: int, options: list[str]) -> None:
    """Runs a verb in so many processes, as torchrun starts them."""
    started = [_fork(task, verb, load, options, place) for place in rank_places(ranks)]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in started] == [0] * ranks


def rank_places(ranks: int) -> list[dict[str, str]]:
    """The variables by which torchrun tells each rank of one machine its place."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    size = str(ranks)
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test", "GROUP_RANK": "0"}
    common |= {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
    return [common | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]


def _fork(task: str, verb: str, load: Load, options: list[str], place: dict[str, str]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.environ.update(place)
        run(task, verb, options, load)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)

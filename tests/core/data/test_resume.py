"""A run that is stopped in mid-epoch and resumed sees the batches that it would have seen, in the same order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from core.batch import Seq2SeqBatch
from core.data.text_datamodule import TextDataModule
from core.errors import CheckpointError
from tests.core.data.test_datamodule import Sentences, make

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class StoppedError(Exception):
    """Stands for the kill."""


class Recorder(LightningModule):
    """Trains one number, and notes what it sees: (epoch, ids)."""

    def __init__(self, stop_after: int | None = None, peek: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.stop_after, self.peek = stop_after, peek
        self.seen: list[tuple[int, tuple[int, ...], list[list[int]]]] = []

    def training_step(self, batch: Seq2SeqBatch, batch_idx: int) -> Tensor:
        if len(self.seen) == self.stop_after:
            raise StoppedError
        self.seen.append((self.current_epoch, batch.ids, batch.source.values.tolist()))
        return (self.weight - batch.source.lengths.float().mean()) ** 2

    def validation_step(self, batch: Seq2SeqBatch, batch_idx: int) -> None:
        self.log("loss", self.weight)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self.peek:
            _ = self.trainer.estimated_stepping_batches  # makes Lightning ask for the loader too early
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(
    folder: Path,
    module: Recorder,
    data: TextDataModule,
    checkpoint: ModelCheckpoint | None = None,
    resume: Path | None = None,
    **options: Any,
) -> Recorder:
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=checkpoint is not None,
        callbacks=[] if checkpoint is None else [checkpoint],
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        **({"max_epochs": 3, "devices": 1} | options),
    )
    trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
    return module


EVERY_STEPS = {"every_n_train_steps": 4}  # saved after a training batch
AFTER_VALIDATION: dict[str, Any] = {"save_on_train_epoch_end": False}
STEPS = {"max_epochs": -1, "max_steps": 30, "val_check_interval": 6, "check_val_every_n_epoch": None}


@pytest.mark.parametrize(
    ("saved", "options", "stop_after", "resumed_at", "arguments"),
    [
        pytest.param(EVERY_STEPS, {}, 6, 4, {}, id="first epoch"),
        pytest.param(EVERY_STEPS, {}, 18, 16, {}, id="later epoch"),
        pytest.param(EVERY_STEPS, {}, 18, 16, {"num_workers": 1}, id="workers"),
        pytest.param(EVERY_STEPS, {}, 18, 16, {"bpe_dropout": 0.3}, id="dropout"),
        pytest.param(EVERY_STEPS, {"accumulate_grad_batches": 2}, 10, 8, {}, id="accumulation"),
        pytest.param(EVERY_STEPS, STEPS, 18, 16, {}, id="by steps"),
        pytest.param(AFTER_VALIDATION, STEPS, 20, 18, {}, id="by steps, after validation"),
        pytest.param(AFTER_VALIDATION, {"val_check_interval": 5}, 7, 5, {}, id="after validation in mid-epoch"),
        pytest.param(AFTER_VALIDATION, {}, 15, None, {}, id="after the epoch's validation"),
        pytest.param({"save_on_train_epoch_end": True}, {}, 15, None, {}, id="after the epoch"),
    ],
)
@pytest.mark.parametrize("peek", [False, True])
def test_a_resumed_run_sees_what_it_had_not_seen(
    tmp_path: Path,
    saved: dict[str, Any],
    options: dict[str, Any],
    stop_after: int,
    resumed_at: int | None,
    arguments: dict[str, Any],
    peek: bool,
) -> None:
    def data() -> TextDataModule:
        return make(tmp_path, Sentences(100, 5, 5), **arguments)

    batches = len(data().sampler("train"))
    assert 8 <= batches < 15, "the cases below are about epochs of this length"
    resumed_at = batches if resumed_at is None else resumed_at
    whole = fit(tmp_path, Recorder(peek=peek), data(), **options)
    checkpoint = ModelCheckpoint(tmp_path / "saved", save_last=False, save_top_k=1, **saved)
    with pytest.raises(StoppedError):
        fit(tmp_path, Recorder(stop_after, peek), data(), checkpoint, **options)
    resumed = fit(tmp_path, Recorder(peek=peek), data(), None, Path(checkpoint.best_model_path), **options)
    assert resumed.seen == whole.seen[resumed_at:]
    assert resumed.weight.item() == whole.weight.item()


def test_an_epoch_whose_batches_changed_is_not_continued(tmp_path: Path) -> None:
    checkpoint = ModelCheckpoint(tmp_path / "saved", save_top_k=1, every_n_train_steps=4)
    with pytest.raises(StoppedError):
        fit(tmp_path, Recorder(6), make(tmp_path, Sentences(100, 5, 5)), checkpoint)
    other = make(tmp_path, Sentences(100, 5, 5), batch_tokens=150)
    with pytest.raises(CheckpointError, match="in the middle of an epoch"):
        fit(tmp_path, Recorder(), other, None, Path(checkpoint.best_model_path))


def test_epochs_of_a_run_differ_and_are_those_of_the_plan(tmp_path: Path) -> None:
    data = make(tmp_path, Sentences(100, 5, 5))
    module = fit(tmp_path, Recorder(), data)
    plans = [data.sampler("train").plan(epoch) for epoch in range(3)]
    assert [list(ids) for _, ids, _ in module.seen] == [batch for plan in plans for batch in plan]


class RankRecorder(Recorder):
    """Writes what each rank sees to a file of its own."""

    def on_fit_end(self) -> None:
        lines = [" ".join(map(str, (epoch, *ids))) for epoch, ids, _ in self.seen]
        Path(self.trainer.default_root_dir, f"rank{self.global_rank}").write_text("\n".join(lines))


def test_two_ranks_share_each_epoch_out(tmp_path: Path) -> None:
    data = make(tmp_path, Sentences(101, 5, 5))
    fit(tmp_path, RankRecorder(), data, strategy="ddp_fork", devices=2, max_epochs=2)
    lines = [(tmp_path / f"rank{rank}").read_text().splitlines() for rank in range(2)]
    assert len(lines[0]) == len(lines[1])
    for epoch in (0, 1):
        seen = [int(i) for rank in lines for line in rank for i in line.split()[1:] if line.split()[0] == str(epoch)]
        assert sorted(seen) == list(range(101))

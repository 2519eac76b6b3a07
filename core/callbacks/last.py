"""Keeps last.ckpt: that from which a run goes on, wherever it was stopped, to where it would have come anyway."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from core.module import Seq2SeqModule


class LastCheckpoint(Checkpoint):
    """Writes last.ckpt each so many updates, before each validation, and when training ends.

    A run that is stopped in a validation begins that validation anew: the checkpoint says that its weights are still
    to be scored. Lightning would leave the validation out, and `best.ckpt` and early stopping would go other ways than
    in a run that wasn't stopped.

    Args:
        path: of last.ckpt.
        every: updates between two writes.
    """

    def __init__(self, path: Path, every: int) -> None:
        self.path, self.every = path, every
        self.unscored = False
        self._saved: tuple[int, bool] = (0, False)
        self._module: Seq2SeqModule | None = None
        self._max_steps = -1

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Takes the module, whose counts go into the checkpoint too."""
        assert isinstance(pl_module, Seq2SeqModule)
        self._module = pl_module

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lets a run begin that has all its updates, but stopped in its last validation."""
        loop = trainer.fit_loop.epoch_loop
        self._max_steps = loop.max_steps
        if self.unscored and loop.max_steps > 0:
            loop.max_steps += 1

    def save(self, trainer: Trainer) -> None:
        """Writes last.ckpt, unless this state of the run is in it already."""
        now = (trainer.global_step, self.unscored)
        if not trainer.fast_dev_run and now != self._saved:  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.path)
            self._saved = now

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Scores what was to be scored when the run was stopped."""
        if self.unscored:
            _validate(trainer)
            trainer.fit_loop.epoch_loop.max_steps = self._max_steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Writes each so many updates, and after the last one; where a validation comes next, that writes."""
        if trainer.fit_loop.epoch_loop._should_accumulate() or validation_is_due(trainer):
            return
        if trainer.global_step % self.every == 0 or self._is_last_update(trainer):
            self.save(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes what is about to be scored."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking and not self.unscored:
            self.unscored = True
            self.save(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes that it was scored."""
        self.unscored = False
        if trainer.state.fn == TrainerFn.FITTING and self._is_last_update(trainer):
            self.save(trainer)

    def _is_last_update(self, trainer: Trainer) -> bool:
        """Whether no update comes after this one.

        What is written now is still in its epoch: a run that is given more updates goes on in its middle. When training
        ends, Lightning has closed the epoch, and the batches that were left of it would be skipped.
        """
        return 0 < self._max_steps <= trainer.global_step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes once more when training ends, wherever between two writes that is."""
        self.save(trainer)

    def state_dict(self) -> dict[str, Any]:
        """What the next run takes over: whether the weights are to be scored, and what was counted so far."""
        assert self._module is not None
        guard = self._module.guard
        return {
            "unscored": self.unscored,
            "skipped": guard.skipped,
            "skipped_in_a_row": guard.skipped_in_a_row,
            "target_tokens_seen": self._module.target_tokens_seen,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes it over."""
        assert self._module is not None
        self.unscored = state_dict["unscored"]
        self._module.guard.skipped = state_dict["skipped"]
        self._module.guard.skipped_in_a_row = state_dict["skipped_in_a_row"]
        self._module.target_tokens_seen = state_dict["target_tokens_seen"]


def validation_is_due(trainer: Trainer) -> bool:
    """Whether Lightning validates before the next training batch."""
    fetcher = trainer.fit_loop._data_fetcher
    assert fetcher is not None
    return trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)


def _validate(trainer: Trainer) -> None:
    """Runs a validation as Lightning's training loop does, before the first batch."""
    loop = trainer.fit_loop.epoch_loop.val_loop
    first = trainer._logger_connector._first_loop_iter
    loop.restarting = False  # from its first batch
    trainer.validating = True
    loop.run()
    trainer.training = True
    trainer._logger_connector._first_loop_iter = first
    loop._has_run = False  # or Lightning would take the epoch for one that it has closed already

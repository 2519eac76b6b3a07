"""Stopping on a signal: at the next update, with last.ckpt written, on all ranks together."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from core.callbacks.last import LastCheckpoint, validation_is_due
from core.distributed import sum_over_ranks, union_over_ranks
from core.errors import StoppedError
from core.module import Seq2SeqModule

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopOnSignal(Callback):
    """Writes last.ckpt and ends the run when it is told to: SIGTERM, SIGUSR1, or Ctrl-C; Ctrl-C again ends it at once.

    A signal alone does nothing but set a mark: it may come between any two instructions. The mark goes round with what
    the ranks tell each other at each update anyway, so that all of them stop after the same one, also where only one
    was told. Lightning's own handlers, which these take the place of, talk to the other ranks from within the signal,
    where these may be in the middle of something else, and end with exit code 0.

    Where SLURM said SIGUSR1 (`sbatch --signal=USR1@120`), which means that the time is up, the job is queued again.

    Args:
        last: writes the checkpoint.
    """

    def __init__(self, last: LastCheckpoint) -> None:
        self.last = last
        self.received = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the signals over from Lightning, which gives them back to who had them before when the run ends."""
        if trainer.received_sigterm:  # while the last things were prepared
            self.received = signal.SIGTERM
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Passes the mark on to what speaks to the other ranks."""
        assert isinstance(pl_module, Seq2SeqModule)
        pl_module.guard.wants_to_stop = bool(self.received)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stops after an update, if any rank was told to; one that is to be scored is written when that begins."""
        assert isinstance(pl_module, Seq2SeqModule)
        finished = 0 < trainer.max_steps <= trainer.global_step
        if pl_module.guard.stopping and not finished and not validation_is_due(trainer):
            self.last.save(trainer)
            self._stop(trainer)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, _: int = 0
    ) -> None:
        """Stops in the middle of a validation: last.ckpt was written before it."""
        mark = torch.tensor(float(self.received), device=pl_module.device)
        if not trainer.sanity_checking and float(sum_over_ranks(mark)):
            self._stop(trainer)

    def _stop(self, trainer: Trainer) -> None:
        """Raises StoppedError, alike on all ranks."""
        number = max(union_over_ranks({trainer.global_rank: self.received}).values())
        told = f"stopped by {signal.Signals(number).name} after update {trainer.global_step}, which is in "
        told += f"{self.last.path}; the same command with --ckpt_path last goes on from there"
        if trainer.is_global_zero and number == signal.SIGUSR1:
            told += _requeue()
        raise StoppedError(told if trainer.is_global_zero else "", 128 + number)


def _requeue() -> str:
    """Puts a SLURM job into the queue again, and says so."""
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or shutil.which("scontrol") is None:
        return ""
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"; SLURM wouldn't queue job {job} again: {done.stderr.strip()}"
    return f"; SLURM has queued job {job} again"

"""What happens beside training: checkpoints, averaged weights, early stopping, progress, samples, the summary."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    RichProgressBar,
    WeightAveraging,
)
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console
from rich.table import Table
from torch import Tensor

from core.callbacks.compiled import CompiledLayers
from core.callbacks.heap import TrimmedHeap
from core.callbacks.last import LastCheckpoint
from core.callbacks.stopping import StopOnSignal
from core.errors import ConfigError
from core.module import Seq2SeqModule
from core.objectives import check_share

LAST = "last.ckpt"


@dataclass(frozen=True)
class FitOptions:
    """What a training run keeps and tells.

    Attributes:
        ema_decay: decay of the exponential moving average of the weights, which then is what validates, what is saved
            as the model and what `test` uses; 0 for none.
        patience: validations without a better score until training stops; None to go on.
        save_every: updates between two writes of last.ckpt, from which a killed run resumes; it is also written before
            each validation, at the end, and when the run is told to stop (docs/reliability.md).
        keep: how many checkpoints of past validations stay, as step=N.ckpt, for `python -m core.checkpoint average`.
        weights: a checkpoint of the same model whose weights and tokenizers training begins with, at update 0 with a
            fresh optimizer; where --ckpt_path names a run to go on with, that has the weights.
        compile: let torch compile the layers of a Transformer or Conformer (docs/scaling.md, "torch.compile").

    Raises:
        ConfigError: save_every isn't above 0.
    """

    ema_decay: float = 0.0
    patience: int | None = None
    save_every: int = 500
    keep: int = 0
    weights: Path | None = None
    compile: bool = False

    def __post_init__(self) -> None:
        if self.save_every < 1:
            raise ConfigError(f"fit.save_every must be at least 1, got {self.save_every}")


def fit_callbacks(
    options: FitOptions, module: Seq2SeqModule, folder: Path, log_every: int, bar: bool, logs: bool = True
) -> list[Callback]:
    """Makes the callbacks of a training run that writes into a folder and tells of every so many updates.

    What it tells is a progress bar for a person at a terminal, and lines for a file.
    """
    best: Any = {"monitor": module.monitor, "mode": module.monitor_mode}
    last = LastCheckpoint(folder / LAST, options.save_every)
    callbacks: list[Callback] = []
    if options.compile:
        callbacks.append(CompiledLayers(module))
    if options.ema_decay:
        callbacks.append(AveragedWeights(options.ema_decay))
    if logs:  # else it would refuse to run
        callbacks.append(LearningRateMonitor("step"))
    callbacks += [
        ModelCheckpoint(folder, "best", **best, enable_version_counter=False),
        last,
        TrimmedHeap(),
        Reporter(log_every, lines=not bar),
    ]
    if bar:
        callbacks.append(RichProgressBar())
    if options.keep:
        callbacks.append(ModelCheckpoint(folder, "{step}", monitor="step", mode="max", save_top_k=options.keep))
    if options.patience is not None:
        callbacks.append(EarlyStopping(**best, patience=options.patience))
    return [*callbacks, StopOnSignal(last)]


class AveragedWeights(WeightAveraging):
    """Exponential moving average of the weights, whose memory grows with the number of updates up to its decay.

    With n updates behind it an average keeps min(decay, (1 + n) / (10 + n)) of itself, as TensorFlow's does: the first
    weights, which are random, are soon forgotten.
    """

    def __init__(self, decay: float) -> None:
        self.decay = check_share("fit.ema_decay", decay)
        super().__init__(multi_avg_fn=self.average)

    @torch.no_grad()
    def average(self, averages: Any, weights: Any, updates: Tensor | int) -> None:
        """Moves the averages towards the weights, in place; whole numbers, which count something, are taken over."""
        if not averages[0].is_floating_point():
            torch._foreach_copy_(averages, weights)
            return
        count = int(updates)
        kept = min(self.decay, (1 + count) / (10 + count))
        torch._foreach_lerp_(averages, weights, 1 - kept)


class Reporter(Callback):
    """Tells a person what goes on: a line at each logged step, samples at each validation, a table at the end."""

    def __init__(self, log_every: int, lines: bool = True) -> None:
        self.log_every = log_every
        self.lines = lines
        self.console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
        self.started = time.monotonic()
        self.noted = (self.started, 0)
        self.validating = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self.started = time.monotonic()
        self.noted = (self.started, _module(pl_module).target_tokens_seen)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Prints and logs the speed since the last line."""
        module = _module(pl_module)
        step = trainer.global_step
        if step % self.log_every or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        now = time.monotonic()
        then, tokens = self.noted
        speed = (module.target_tokens_seen - tokens) * trainer.world_size / max(now - then, 1e-9)
        self.noted = (now, module.target_tokens_seen)
        module.log("train/tokens_per_second", speed, prog_bar=True)
        if trainer.is_global_zero and self.lines:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            metrics = trainer.callback_metrics
            loss = f"loss {float(metrics['train/loss']):.3f}  " if "train/loss" in metrics else ""
            clock = f"{(now - self.started) / 60:.1f} min"
            self.console.print(
                f"epoch {trainer.current_epoch}  step {step}  {loss}lr {rate:.2e}  {speed:,.0f} tokens/s  {clock}"
            )

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops the clock of the speed."""
        self.validating = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shows the scores and some of what was written."""
        module = _module(pl_module)
        then, tokens = self.noted
        self.noted = (then + time.monotonic() - self.validating, tokens)
        if trainer.state.fn != TrainerFn.FITTING or not trainer.is_global_zero:
            return
        scores = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        self.console.print(f"step {trainer.global_step}  " + "  ".join(f"{k} {v:.3f}" for k, v in scores.items()))
        lines = [f"  {s}\n    reference  {r}\n    model      {h}" for s, r, h in module.samples]
        self.console.print("\n".join(lines), markup=False)
        text = "\n\n".join(f"{s}  \n*{r}*  \n**{h}**" for s, r, h in module.samples)
        boards = [logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        figures = module.pictures() if boards else {}
        for board in boards:
            board.add_text("val/samples", text, trainer.global_step)
            for name, figure in figures.items():
                board.add_figure(name, figure, trainer.global_step, close=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sums the run up."""
        if not trainer.is_global_zero:
            return
        module = _module(pl_module)
        seconds = time.monotonic() - self.started
        table = Table(title=f"{module.task}: trained", show_header=False)
        table.add_row("updates", f"{trainer.global_step:,} in {trainer.current_epoch} epochs")
        table.add_row("parameters", f"{sum(p.numel() for p in module.model.parameters()):,}")
        table.add_row("time", f"{seconds / 60:.1f} min")
        table.add_row("target tokens", f"{module.target_tokens_seen:,} a rank")
        table.add_row("skipped updates", f"{module.guard.skipped} (not finite)")
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.monitor == module.monitor:
                best = callback.best_model_score
                table.add_row(f"best {module.monitor}", "-" if best is None else f"{float(best):.3f}")
                table.add_row("checkpoint", callback.best_model_path or "-")
        self.console.print(table)


def _module(module: LightningModule) -> Seq2SeqModule:
    assert isinstance(module, Seq2SeqModule)
    return module

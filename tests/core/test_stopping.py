"""What a signal does to a run, and how `--ckpt_path last` goes on."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from core.checkpoint import read_checkpoint
from tasks.mt.__main__ import load
from tests.core.forks import Fork, seen
from tests.core.shell import Shell, make_shell
from tests.core.tiny import tiny_options, write_corpus

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

EPOCH = 14  # batches


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stopping")
    write_corpus(folder)
    return folder


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return make_shell("mt", load, monkeypatch, capsys)


class TermInValidation(Callback):
    """Tells its own process to stop in the middle of the second validation, once."""

    validations = 0

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.validations += 1

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int, _: int = 0
    ) -> None:
        told = Path(trainer.default_root_dir, f"told{trainer.val_check_interval}")
        if self.validations == 2 and batch_idx == 1 and not told.exists():
            told.touch()
            os.kill(os.getpid(), signal.SIGTERM)


def scores(path: Path) -> list[tuple[str, ...]]:
    """Update and BLEU of each validation that a metrics.csv tells of."""
    lines = [line.split(",") for line in path.read_text().splitlines()]
    columns = [lines[0].index(name) for name in ("step", "val/bleu", "val/loss")]
    rows = [tuple(line[column] for column in columns) for line in lines[1:]]
    return [row for row in rows if row[1]]


# Signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_writes_last_and_the_same_command_goes_on(folder: Path, number: signal.Signals) -> None:
    name = number.name
    options = ["--trainer.max_steps=3000", "--fit.save_every=100000", "--trainer.val_check_interval=100000"]
    run = Fork(folder, name, [*options, "--ckpt_path=last"])
    run.until(folder / f"{name}.seen")
    run.kill(number)
    assert run.wait() == 128 + number, run.log.read_text()
    last = folder / "mt" / name / "last.ckpt"
    step = read_checkpoint(last)["global_step"]
    assert 0 < step < 3000
    told = run.log.read_text()
    assert f"stopped by {name} after update {step}, which is in {last}; the same command with --ckpt_path" in told
    assert "Traceback" not in told
    assert max(seen(folder / f"{name}.seen")) == step - 1
    again = Fork(folder, name, [*options, f"--trainer.max_steps={step + 2}", "--ckpt_path=last"])
    assert again.wait() == 0, again.log.read_text()
    updates = seen(folder / f"{name}.seen")
    assert sorted(updates) == list(range(step + 2))
    assert all(len(each) == 1 for each in updates.values()), "no batch twice"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_workers_that_get_the_signal_too_work_on_until_the_end(folder: Path, number: signal.Signals) -> None:
    name = f"workers{number}"
    options = ["--trainer.max_steps=3000", "--trainer.val_check_interval=100000", "--data.num_workers=1"]
    run = Fork(folder, name, options)
    run.until(folder / f"{name}.seen")
    run.kill_all(number)
    assert run.wait() == 128 + number, run.log.read_text()
    told = run.log.read_text()
    assert f"stopped by {number.name} after update" in told
    assert "error" not in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("interval", "steps"), [(EPOCH, 3 * EPOCH), (10, 35), (9, 18)], ids=["epoch's end", "mid-epoch", "run's end"]
)
def test_a_run_stopped_in_a_validation_begins_it_anew(folder: Path, interval: int, steps: int) -> None:
    options = [f"--trainer.max_steps={steps}", f"--trainer.val_check_interval={interval}", "--fit.ema_decay=0.5"]
    options += ["--data.eval_batch_tokens=8", "--fit.patience=100"]
    whole = Fork(folder, f"whole{interval}", options)
    assert whole.wait() == 0, whole.log.read_text()
    name = f"stopped{interval}"
    stopped = Fork(folder, name, [*options, "--trainer.callbacks+=tests.core.test_stopping.TermInValidation"])
    assert stopped.wait() == 128 + signal.SIGTERM, stopped.log.read_text()
    runs = folder / "mt"
    last = read_checkpoint(runs / name / "last.ckpt")
    assert last["global_step"] == 2 * interval
    before = scores(runs / name / "metrics.csv")
    again = Fork(folder, name, [*options, "--ckpt_path=last"])
    assert again.wait() == 0, again.log.read_text()
    assert before + scores(runs / name / "metrics.csv") == scores(runs / f"whole{interval}" / "metrics.csv")
    for file in ("best.ckpt", "last.ckpt"):
        one, other = read_checkpoint(runs / name / file), read_checkpoint(runs / f"whole{interval}" / file)
        assert one["global_step"] == other["global_step"]
        assert all(torch.equal(weight, other["state_dict"][key]) for key, weight in one["state_dict"].items())
        stopping = next(key for key in one["callbacks"] if key.startswith("EarlyStopping"))
        assert one["callbacks"][stopping] == other["callbacks"][stopping]


def test_a_job_of_slurm_is_queued_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    run = Fork(folder, "slurm", ["--trainer.max_steps=3000", "--trainer.val_check_interval=100000"])
    run.until(folder / "slurm.seen")
    run.kill(signal.SIGUSR1)
    assert run.wait() == 128 + signal.SIGUSR1, run.log.read_text()
    assert (tmp_path / "asked").read_text() == "requeue 4711\n"
    assert "SLURM has queued job 4711 again" in run.log.read_text()
    assert not list(folder.glob("mt/slurm/hpc_ckpt*")), "Lightning's own handler doesn't write too"


def test_a_disk_that_fills_up_ends_the_run_with_one_line_and_the_last_checkpoint_whole(
    folder: Path, small_disk: Path
) -> None:
    options = ["--trainer.max_steps=3000", "--fit.save_every=5", "--trainer.val_check_interval=100000"]
    elsewhere = ["--trainer.logger=lightning.pytorch.loggers.CSVLogger", f"--trainer.logger.save_dir={folder / 'log'}"]
    with (small_disk / "filler").open("wb", buffering=0) as file:
        run = Fork(folder, "full", [*options, f"--trainer.default_root_dir={small_disk}", *elsewhere])
        last = small_disk / "mt" / "full" / "last.ckpt"
        run.until(last)
        while run.is_alive():
            with suppress(OSError):
                file.write(bytes(4096))
    assert run.wait() == 1, run.log.read_text()
    told = run.log.read_text()
    assert told.count("error: ") == 1
    assert f"error: {last} can't be written: No space left on device (" in told
    assert "Traceback" not in told
    assert read_checkpoint(last)["global_step"] % 5 == 0


# --ckpt_path last


def test_a_run_may_do_without_logs(shell: Shell, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    options = [*tiny_options(tmp_path), "--trainer.max_steps=2", f"--trainer.default_root_dir={tmp_path}"]
    shown = shell("fit", *options, "--trainer.logger=false")
    assert shown.code == 0, shown.err
    assert sorted(path.name for path in (tmp_path / "mt" / "default").iterdir()) == [
        "config.yaml", "environment.json", "last.ckpt",
    ]  # fmt: skip


def test_last_is_a_fresh_start_first_then_goes_on_and_then_has_nothing_to_do(shell: Shell, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    options = [*tiny_options(tmp_path), "--trainer.max_steps=4", f"--trainer.default_root_dir={tmp_path}"]
    last = tmp_path / "mt" / "default" / "last.ckpt"
    first = shell("fit", *options, "--ckpt_path", "last")
    assert first.code == 0, first.err
    assert f"there is no {last} yet: a fresh start" in first.err
    content = last.read_bytes()
    again = shell("fit", *options, "--ckpt_path", "last")
    assert again.code == 0, again.err
    assert f"going on from {last}" in again.err
    assert last.read_bytes() == content, "it has nothing to do"
    further = shell("fit", *options, "--trainer.max_steps=6", "--ckpt_path=last")
    assert further.code == 0, further.err
    assert read_checkpoint(last)["global_step"] == 6


def test_last_never_overwrites_what_it_can_t_go_on_from(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "mt" / "default"
    folder.mkdir(parents=True)
    (folder / "best.ckpt").write_bytes(b"valuable")
    shown = shell("fit", "--trainer.default_root_dir", tmp_path, "--ckpt_path", "last")
    assert shown.code == 1
    assert f"{folder} has best.ckpt but no last.ckpt" in shown.err
    assert (folder / "best.ckpt").read_bytes() == b"valuable"


def test_last_looks_where_the_recipe_writes(shell: Shell, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(f"trainer: {{default_root_dir: {tmp_path / 'elsewhere'}}}\n", encoding="utf-8")
    folder = tmp_path / "elsewhere" / "mt" / "mine"
    folder.mkdir(parents=True)
    (folder / "last.ckpt").write_bytes(b"half a checkpoint")
    shown = shell("fit", "--config", recipe, "--ckpt_path", "last")
    assert shown.code == 1, "a damaged one is no reason for a fresh start"
    assert f"{folder / 'last.ckpt'} is truncated or not a checkpoint" in shown.err


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_last_is_for_training_alone(shell: Shell, verb: str) -> None:
    shown = shell(verb, "--ckpt_path", "last")
    assert shown.code == 2
    assert "there is no file last" in shown.err


def test_a_checkpoint_in_a_recipe_is_refused(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("ckpt_path: last\n", encoding="utf-8")
    shown = shell("fit", "--config", tmp_path / "mine.yaml")
    assert shown.code == 2
    assert "give it on the command line" in shown.err

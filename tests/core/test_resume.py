"""A run that was killed in mid-epoch and resumed ends with the weights of the run that wasn't."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from core.runner import run
from tasks.mt.__main__ import load
from tests.core.tiny import ROOT, tiny_options, write_corpus

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

STEPS, SAVE_EVERY = 40, 8  # an epoch has 14 batches: whenever the kill comes, it is in mid-epoch


def arguments(folder: Path, name: str, *options: str) -> list[str]:
    given = ["--trainer.default_root_dir", str(folder), "--run", name, "--trainer.max_steps", str(STEPS)]
    given += ["--fit.save_every", str(SAVE_EVERY), "--trainer.val_check_interval", "11"]
    return [*tiny_options(folder), *given, *options]


def kill_after_a_checkpoint(command: list[str], last: Path) -> int:
    """Kills a run as soon as it has written last.ckpt; returns the step of that checkpoint."""
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 120
        while not last.exists():
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    step: int = torch.load(last, weights_only=True)["global_step"]
    return step


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_killed_and_resumed_is_as_never_killed(tmp_path: Path, decay: float) -> None:
    write_corpus(tmp_path)
    options = ["--model.encoder.dropout=0.3", "--model.decoder.dropout=0.3", f"--fit.ema_decay={decay}"]
    folder = tmp_path / "mt" / "killed"
    command = [sys.executable, "-m", "tasks.mt", "fit", *arguments(tmp_path, "killed", *options)]
    step = kill_after_a_checkpoint(command, folder / "last.ckpt")
    assert 0 < step < STEPS
    assert step % 14
    metrics, config = (folder / "metrics.csv").read_text(), (folder / "config.yaml").read_text()
    assert metrics.count("\n") > 2
    run("mt", "fit", arguments(tmp_path, "killed", "--ckpt_path", str(folder / "last.ckpt"), *options), load)
    assert (folder / "metrics-1.csv").read_text() == metrics
    assert (folder / "config-1.yaml").read_text() == config
    assert (folder / "metrics.csv").exists()
    assert (folder / "config.yaml").exists()
    run("mt", "fit", arguments(tmp_path, "whole", *options), load)
    whole, resumed = (
        torch.load(tmp_path / "mt" / name / "last.ckpt", weights_only=True) for name in ("whole", "killed")
    )
    assert whole["global_step"] == resumed["global_step"] == STEPS
    assert whole["state_dict"].keys() == resumed["state_dict"].keys()
    for name, weight in whole["state_dict"].items():
        assert torch.equal(weight, resumed["state_dict"][name]), name


@pytest.mark.parametrize("first", [9, 11, 14, 22, 28], ids=lambda first: f"{first} updates")
def test_a_run_that_is_given_more_updates_is_as_one_that_had_them_from_the_start(tmp_path: Path, first: int) -> None:
    """In mid-epoch, after a validation, at an epoch's end, both."""
    write_corpus(tmp_path)
    options = ["--model.schedule.kind=constant", "--model.encoder.dropout=0.3"]
    run("mt", "fit", arguments(tmp_path, "longer", *options, "--trainer.max_steps", str(first)), load)
    run("mt", "fit", arguments(tmp_path, "longer", *options, "--ckpt_path", "last"), load)
    run("mt", "fit", arguments(tmp_path, "whole", *options), load)
    whole, longer = (
        torch.load(tmp_path / "mt" / name / "last.ckpt", weights_only=True) for name in ("whole", "longer")
    )
    assert (whole["global_step"], whole["epoch"]) == (longer["global_step"], longer["epoch"])
    for name, weight in whole["state_dict"].items():
        assert torch.equal(weight, longer["state_dict"][name]), name

"""Whenever and however often a run is killed, the same command goes on to the same end."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoint import read_checkpoint
from tests.core.forks import Fork, seen
from tests.core.tiny import write_corpus

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

OPTIONS = (
    "--fit.save_every=3",
    "--fit.ema_decay=0.9",
    "--trainer.val_check_interval=9",
    "--model.encoder.dropout=0.3",
    "--model.decoder.dropout=0.3",
    "--ckpt_path=last",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kills")
    write_corpus(folder)
    return folder


def start(folder: Path, name: str, steps: int) -> Fork:
    return Fork(folder, name, [f"--trainer.max_steps={steps}", *OPTIONS])


def reached(folder: Path, name: str) -> int:
    """The update that last.ckpt has."""
    last = folder / "mt" / name / "last.ckpt"
    step: int = read_checkpoint(last)["global_step"] if last.exists() else 0
    return step


def finish(folder: Path, name: str, steps: int) -> None:
    run = start(folder, name, steps)
    assert run.wait() == 0, run.log.read_text()


def weights(path: Path) -> dict[str, Any]:
    checkpoint = read_checkpoint(path)
    (optimizer,) = checkpoint["optimizer_states"]
    moments = {f"{name}.{key}": value for name, state in optimizer["state"].items() for key, value in state.items()}
    return {**checkpoint["state_dict"], **checkpoint["current_model_state"], **moments}


def assert_same_end(folder: Path, one: str, other: str) -> None:
    for file in ("last.ckpt", "best.ckpt"):
        mine, theirs = weights(folder / "mt" / one / file), weights(folder / "mt" / other / file)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(torch.as_tensor(mine[key]), torch.as_tensor(theirs[key])) for key in mine), file
    batches = seen(folder / f"{one}.seen")
    assert batches == seen(folder / f"{other}.seen")
    assert all(len(each) == 1 for each in batches.values())


def test_killed_three_times(folder: Path) -> None:
    finish(folder, "whole", 40)
    for _ in range(3):
        before = reached(folder, "killed")
        run = start(folder, "killed", 40)
        while reached(folder, "killed") <= before:
            time.sleep(0.01)
        run.kill()
        assert run.wait() == -signal.SIGKILL, run.log.read_text()
    finish(folder, "killed", 40)
    assert_same_end(folder, "whole", "killed")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_fifty_times_at_random(folder: Path) -> None:
    steps, rng = 900, random.Random(1)
    finish(folder, "long", steps)
    progress = [0]
    for number in range(50):
        run = start(folder, "fifty", steps)
        if number % 5:  # else somewhere on the way to the first update
            run.until_it_trains(folder / "fifty.seen", rng.randint(1, 25))
        time.sleep(rng.uniform(0, 0.05 if number % 5 else 1.0))
        run.kill()
        assert run.wait() == -signal.SIGKILL, f"it ended by itself\n{run.log.read_text()}"
        progress.append(reached(folder, "fifty"))
    print("updates in last.ckpt after each kill:", progress)
    assert progress == sorted(progress), "nothing that was reached is lost"
    assert len(set(progress)) > 10
    finish(folder, "fifty", steps)
    assert_same_end(folder, "long", "fifty")

"""Two machines train as one process, and a machine that is lost stops a run no longer than until it is back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tasks.mt.__main__ import load
from tests.core.tiny import tiny_options, write_corpus
from tests.distributed.machines import PORT, Machine, plugged, two_machines
from tests.distributed.runs import STEPS, TRAINING, Weights, furthest, train, unite

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

HELD, SAVED = 12, 5  # the update after which a machine is lost, and how often last.ckpt is written
ROLL_CALL = 3.0
PATIENCE, TIMEOUT = 60, 5  # of ranks that are only slow; where it is what ends a run


class Pair:
    """Two machines and a run of theirs: the same lines on both, as docs/scaling.md has them."""

    def __init__(self, folder: Path, machines: tuple[Machine, Machine]) -> None:
        self.folder, self.machines = folder, machines
        self.held = folder / "held"

    def start(self, *numbers: int, nodes: str = "2", restarts: int = 0, timeout: int = PATIENCE) -> None:
        """Gives some of the machines the command."""
        launcher = ["--nnodes", nodes, "--nproc-per-node", "1", "--max-restarts", str(restarts), "--rdzv-id", "polyseq"]
        launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{self.machines[0].name}:{PORT}"]
        launcher += ["--rdzv-conf", "last_call_timeout=1"]
        options = [*tiny_options(self.folder), *TRAINING, f"--trainer.default_root_dir={self.folder}", "--run=two"]
        options += ["--trainer.num_nodes=2", "--trainer.strategy=ddp", "--ckpt_path=last", f"--rank_timeout={timeout}"]
        options += [f"--fit.save_every={SAVED}", "--trainer.callbacks=tests.distributed.machines.Hold"]
        options += [f"--trainer.callbacks.update={HELD}", f"--trainer.callbacks.path={self.held}"]
        for number in numbers:
            self.machines[number].torchrun(self.log(number), launcher, ["fit", *options])

    def wait(self) -> list[int]:
        """The exit codes of both."""
        return [machine.wait() for machine in self.machines]

    def log(self, number: int) -> Path:
        return self.folder / f"machine{number}.log"

    def told(self, number: int) -> str:
        """What a machine has said so far."""
        return self.log(number).read_text()

    def until(self, number: int, words: str, seconds: float = 120) -> None:
        """Waits until a machine has said something."""
        _until(lambda: words in self.told(number), seconds, lambda: self.told(number))

    def until_it_holds(self) -> None:
        """Waits until the last rank waits after its update."""
        _until(self.held.exists, 120, lambda: self.told(0) + self.told(1))

    def weights(self) -> Weights:
        """Those of the end."""
        checkpoint = torch.load(self.folder / "mt" / "two" / "last.ckpt", weights_only=True)
        assert checkpoint["global_step"] == STEPS
        weights: Weights = checkpoint["state_dict"]
        return weights

    def assert_as_one_process(self) -> None:
        """Compares the weights with those of one process."""
        with pytest.MonkeyPatch.context() as patch:
            unite(patch, ranks=2)
            one = train("mt", load, self.folder / "one", 1, [*tiny_options(self.folder), *TRAINING])
        distance, where = furthest(one, self.weights())
        assert distance <= 1e-5, f"{where} differs by {distance}"


def _until(there: Callable[[], bool], seconds: float, told: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr("core.ranks.ROLL_CALL", ROLL_CALL)
    write_corpus(tmp_path)
    with two_machines(tmp_path) as machines:
        yield Pair(tmp_path, machines)


def test_two_machines_train_as_one_process(pair: Pair) -> None:
    pair.held.write_text("don't")
    pair.start(0, 1)
    assert pair.wait() == [0, 0], pair.told(0) + pair.told(1)
    pair.assert_as_one_process()


def test_a_run_waits_for_a_machine_that_is_lost_and_goes_on_with_it(pair: Pair) -> None:
    pair.start(0, 1, restarts=1)
    pair.until_it_holds()
    pair.machines[1].lose_power()
    pair.until(0, "error: lost rank 1 of 2 on machine1 (")
    pair.start(1, restarts=1)
    assert pair.wait() == [0, 0], pair.told(0) + pair.told(1)
    assert "--ckpt_path last: going on from" in pair.told(0), "torchrun itself has started it again"
    pair.assert_as_one_process()


STORE = "error: rank 1 of 2: lost the store that all ranks met at"
LOST = "error: lost rank 1 of 2 on machine1 ("


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "lost", "told"), [("power", 1, LOST), ("power", 0, STORE), ("cable", 1, LOST), ("cable", 0, STORE)]
)
def test_the_other_machine_stops_and_the_same_lines_go_on(pair: Pair, end: str, lost: int, told: str) -> None:
    pair.start(0, 1, timeout=TIMEOUT)
    pair.until_it_holds()
    if end == "power":
        pair.machines[lost].lose_power()
    else:
        plugged(pair.machines[lost], "down")
    begun = time.monotonic()
    pair.held.write_text("let go")
    pair.until(1 - lost, told)
    assert time.monotonic() - begun < TIMEOUT + ROLL_CALL + 20, "the timeout wasn't kept"
    if (end, lost) != ("cable", 0):  # torchrun itself waits longer for a store that is cut off
        assert pair.machines[1 - lost].wait() == 1
    for machine in pair.machines:
        machine.lose_power()
        plugged(machine, "up")
    pair.start(0, 1)
    assert pair.wait() == [0, 0], pair.told(0) + pair.told(1)
    assert all("--ckpt_path last: going on from" in pair.told(number) for number in (0, 1))
    pair.assert_as_one_process()


@pytest.mark.slow
def test_one_machine_of_two_is_not_how_a_run_goes_on(pair: Pair) -> None:
    pair.start(0, 1, nodes="1:2", restarts=1)
    pair.until_it_holds()
    pair.machines[1].lose_power()
    assert pair.machines[0].wait() == 1, "torchrun's own, after its last restart"
    assert "error: trainer.num_nodes is 2 and trainer.devices 1 on each, which isn't" in pair.told(0)
    pair.start(0, 1)
    assert pair.wait() == [0, 0], pair.told(0) + pair.told(1)
    pair.assert_as_one_process()

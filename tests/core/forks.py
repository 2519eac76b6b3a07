"""Runs of the command line in forks of the test's own process: a start costs a fraction of what Python's own does."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from core.batch import Seq2SeqBatch
from core.cli import main
from core.task import Task
from tasks.mt.__main__ import load
from tasks.mt.module import MtModule
from tests.core.tiny import tiny_options


class Recorded(MtModule):
    """Notes each batch of each update as a line in a file: update, epoch, ids."""

    path: Path

    def on_train_batch_start(self, batch: Seq2SeqBatch, batch_idx: int) -> None:
        super().on_train_batch_start(batch, batch_idx)
        with self.path.open("a") as file:
            file.write(" ".join(map(str, (self.global_step, self.current_epoch, *batch.ids))) + "\n")


def recorded_task(path: Path) -> Callable[[], Task]:
    """Translation whose batches are noted."""

    def recorded() -> Task:
        Recorded.path = path
        return replace(load(), module=Recorded)

    return recorded


def seen(path: Path) -> dict[int, set[str]]:
    """What each update saw, as all runs that a file is of noted it."""
    lines = [line.partition(" ") for line in path.read_text().splitlines()]
    return {update: {rest for step, _, rest in lines if int(step) == update} for update in {int(s) for s, *_ in lines}}


class Fork:
    """`python -m tasks.mt fit ...` in a fork of this process.

    Args:
        folder: of the corpus and of what it leaves: runs in <folder>/mt, its output in <folder>/<name>.log.
        name: of the run.
        options: beside those of `tiny_options`.
        environment: variables of its own.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        options: Sequence[str] = (),
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.log = folder / f"{name}.log"
        self.environment = environment
        self.arguments = [*tiny_options(folder), f"--trainer.default_root_dir={folder}", f"--run={name}", *options]
        self.task = recorded_task(folder / f"{name}.seen")
        self.pid = os.fork()
        if not self.pid:
            self._train()

    def _train(self) -> None:
        code = 70
        try:
            os.setpgid(0, 0)  # a job of its own, with its workers
            os.environ.update(self.environment)
            descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for stream in (1, 2):
                os.dup2(descriptor, stream)
            sys.stdout = os.fdopen(1, "w", buffering=1)
            sys.stderr = os.fdopen(2, "w", buffering=1)
            sys.argv = ["mt", "fit", *self.arguments]
            main("mt", self.task)
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)  # nothing of the test's own cleaning up

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def kill_all(self, number: int) -> None:
        """Signals it and the processes that it has started."""
        os.killpg(self.pid, number)

    def is_alive(self) -> bool:
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def until(self, path: Path, seconds: float = 60) -> None:
        """Waits until a file is there."""
        deadline = time.monotonic() + seconds
        while not path.exists():
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.is_alive(), self.log.read_text()
            time.sleep(0.002)

    def until_it_trains(self, path: Path, batches: int) -> None:
        """Waits until so many more batches are noted than those that are there, or until it has ended."""
        wanted = _lines(path) + batches
        while _lines(path) < wanted and self.is_alive():
            time.sleep(0.002)

    def wait(self) -> int:
        """Its exit code, or the negative number of the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0

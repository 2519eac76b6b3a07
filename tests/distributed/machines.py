"""Two machines on one: network namespaces joined by a cable, each with torchrun's agent and a rank of its own."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback, LightningModule, Trainer
from torch.distributed.run import main as torchrun

from tests.core.tiny import ROOT

PORT = 29400
NETWORK, NAME, MOUNTS = 0x40000000, 0x04000000, 0x00020000  # CLONE_NEWNET, CLONE_NEWUTS, CLONE_NEWNS
CARD = "eth0"


class Machine:
    """A host with a name, an address and a network card of its own; files and processors are those of this one."""

    def __init__(self, number: int, hosts: Path) -> None:
        self.hosts = hosts
        self.name = f"machine{number}"
        self.address = f"10.99.0.{number + 1}"
        self.namespace = f"polyseq-{os.getpid()}-{number}"
        self._started: list[int] = []

    def torchrun(self, log: Path, launcher: Sequence[str], command: Sequence[str]) -> int:
        """Begins `torchrun <launcher> -m tasks.mt <command>` on this machine and returns its process.

        It is torchrun's own `main` in a fork of this process, and its ranks are forks of it: importing everything
        anew costs seconds of each of four processes.
        """
        script = str(ROOT / "tasks" / "mt" / "__main__.py")
        options = ["--start-method", "fork", "--run-path"]
        pid = os.fork()
        if not pid:
            self._become(log, [*launcher, *options, "--", script, *command])
        self._started.append(pid)
        return pid

    def _become(self, log: Path, arguments: list[str]) -> None:
        code = 70
        try:
            self._move_in()
            os.environ["GLOO_SOCKET_IFNAME"] = CARD
            os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"  # docs/scaling.md says why
            descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            for stream in (1, 2):
                os.dup2(descriptor, stream)
            sys.stdout = os.fdopen(1, "w", buffering=1)
            sys.stderr = os.fdopen(2, "w", buffering=1)
            torchrun(arguments)
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _move_in(self) -> None:
        """Moves this process to the machine's network, gives the machine its name, and tells it all names."""
        system = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{self.namespace}") as network:
            if system.setns(network.fileno(), NETWORK) or system.unshare(NAME | MOUNTS):
                raise OSError(ctypes.get_errno(), f"can't move to {self.namespace}")
        socket.sethostname(self.name)
        for options in (["--make-rprivate", "/"], ["--bind", str(self.hosts), "/etc/hosts"]):
            subprocess.run(["mount", *options], check=True)

    def processes(self) -> list[int]:
        """All that runs on this machine."""
        return [int(pid) for pid in ip("netns", "pids", self.namespace).split()]

    def lose_power(self) -> None:
        """Kills all that runs on this machine at once."""
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        while self._started:
            os.waitpid(self._started.pop(), 0)

    def wait(self, seconds: float = 120) -> int:
        """torchrun's exit code, or the negative number of the signal that ended it."""
        deadline = time.monotonic() + seconds
        pid = self._started.pop()
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > deadline:
                self._started.append(pid)
                raise AssertionError(f"torchrun on {self.name} hasn't ended after {seconds} s")
            time.sleep(0.05)


def ip(*arguments: str) -> str:
    """Runs iproute2's command.

    Raises:
        OSError: it failed, with what it says.
    """
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def plugged(machine: Machine, state: str) -> None:
    """Plugs a machine's cable in ("up") or pulls it out ("down")."""
    ip("-n", machine.namespace, "link", "set", CARD, state)


@contextmanager
def two_machines(folder: Path) -> Iterator[tuple[Machine, Machine]]:
    """Two machines and a cable between them; skips the test where these can't be made.

    Args:
        folder: for the file of their names.
    """
    if shutil.which("ip") is None:
        pytest.skip("two machines need network namespaces: there is no command ip (Debian's iproute2)")
    hosts = folder / "hosts"
    first, second = machines = Machine(0, hosts), Machine(1, hosts)
    lines = ["127.0.0.1 localhost", *(f"{machine.address} {machine.name}" for machine in machines)]
    hosts.write_text("\n".join(lines) + "\n")
    try:
        try:
            for machine in machines:
                ip("netns", "add", machine.namespace)
            cable = ("link", "add", CARD, "netns", first.namespace, "type", "veth", "peer", "name", CARD)
            ip(*cable, "netns", second.namespace)
            ip("netns", "exec", first.namespace, "true")  # which mounts, as a machine's processes do
        except OSError as error:
            pytest.skip(f"two machines need network namespaces, which aren't permitted here: {error}")
        for machine in machines:
            ip("-n", machine.namespace, "address", "add", f"{machine.address}/24", "dev", CARD)
            ip("-n", machine.namespace, "link", "set", "lo", "up")
            plugged(machine, "up")
        yield machines
    finally:
        for machine in machines:
            if Path(f"/run/netns/{machine.namespace}").exists():
                machine.lose_power()
                ip("netns", "delete", machine.namespace)


class Hold(Callback):
    """Holds the last rank after an update until it is killed or let go, once: not where it has done so before.

    Args:
        update: after which one.
        path: of a file that says that it holds; it is let go by writing something into it.
    """

    def __init__(self, update: int, path: Path) -> None:
        self.update, self.path = update, path

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        last = trainer.global_rank == trainer.world_size - 1
        if last and trainer.global_step == self.update and not self.path.exists():
            self.path.touch()
            while not self.path.stat().st_size:
                time.sleep(0.02)

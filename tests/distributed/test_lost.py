"""A rank that dies, or is stuck, stops the others, which say who it was."""

from __future__ import annotations

import os
import signal
import socket
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch._C._distributed_c10d import FileStore, TCPStore

from core.errors import ConfigError
from core.ranks import ROLL_CALL, RankError, missing_ranks, naming_lost_ranks

TIMEOUT = 4.0


def work(rank: int, ranks: int, port: int, folder: Path, end: str) -> None:
    """Adds numbers up with the other ranks, until one of them, the last, comes to its end."""
    store = TCPStore("127.0.0.1", port, ranks, rank == 0, timeout=timedelta(seconds=60))
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks, timeout=timedelta(seconds=TIMEOUT))
    dist.distributed_c10d._get_default_store().set(f"polyseq/host/{rank}", f"machine{rank}")
    (folder / f"pid{rank}").write_text(str(os.getpid()))
    try:
        with naming_lost_ranks():
            for step in range(1000):
                dist.all_reduce(torch.ones(1))
                if step == 3 and rank == ranks - 1:
                    os.kill(os.getpid(), signal.SIGKILL if end == "dies" else signal.SIGSTOP)
    except RankError as error:
        (folder / f"rank{rank}").write_text(str(error))


@pytest.mark.parametrize("end", ["dies", "is stuck"])
def test_the_others_stop_within_the_timeout_and_name_the_rank(tmp_path: Path, end: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = mp.get_context("fork")
    ranks = [context.Process(target=work, args=(rank, 3, port, tmp_path, end)) for rank in range(3)]
    for process in ranks:
        process.start()
    begun = time.monotonic()
    for process in ranks[:2]:
        process.join(60)
    spent = time.monotonic() - begun
    ranks[2].kill()
    ranks[2].join()
    assert [process.exitcode for process in ranks[:2]] == [0, 0]
    assert spent < TIMEOUT + ROLL_CALL + 20, "the timeout wasn't kept"
    for rank in range(2):
        assert "lost rank 2 of 3 on machine2 (" in (tmp_path / f"rank{rank}").read_text()


def test_ranks_that_answer_are_not_lost(tmp_path: Path) -> None:
    store = FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        assert "all ranks are alive" in missing_ranks(0.1)
    finally:
        dist.destroy_process_group()


def test_an_error_of_another_kind_stays() -> None:
    with pytest.raises(RuntimeError, match="something else"), naming_lost_ranks():
        raise RuntimeError("something else")


def test_ddp_s_riddle_is_solved() -> None:
    riddle = RuntimeError("Expected to have finished reduction in the prior iteration before starting a new one.")
    with pytest.raises(ConfigError, match="ddp_find_unused_parameters_true"), naming_lost_ranks():
        raise riddle

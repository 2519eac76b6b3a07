"""Ranks stop together, go on together, and not in another number."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from core.checkpoint import read_checkpoint
from tests.core.forks import Fork
from tests.core.tiny import write_corpus
from tests.distributed.runs import rank_places

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")

OPTIONS = ("--fit.save_every=100000", "--trainer.val_check_interval=100000", "--ckpt_path=last")


def start(folder: Path, steps: int, ranks: int = 2) -> list[Fork]:
    """The ranks of a run, as torchrun starts them."""
    options = [*OPTIONS, f"--trainer.devices={ranks}", f"--trainer.max_steps={steps}"]
    return [Fork(folder, "ranks", options, place) for place in rank_places(ranks)]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A run of two ranks that one of them was told to stop, and its last update."""
    folder = tmp_path_factory.mktemp("stopped")
    write_corpus(folder)
    ranks = start(folder, 3000)
    ranks[0].until(folder / "ranks.seen")
    time.sleep(0.2)
    ranks[1].kill(signal.SIGTERM)
    codes = [rank.wait() for rank in ranks]
    told = ranks[0].log.read_text()
    assert codes == [128 + signal.SIGTERM] * 2, told
    assert told.count("stopped by SIGTERM after update") == 1, "one rank tells it"
    assert "Traceback" not in told
    step = read_checkpoint(folder / "mt" / "ranks" / "last.ckpt")["global_step"]
    assert 0 < step < 3000
    return folder, step


def test_one_rank_is_not_how_a_run_of_two_goes_on(stopped: tuple[Path, int]) -> None:
    folder, step = stopped
    (alone,) = start(folder, step + 3, ranks=1)
    assert alone.wait() == 1
    assert "something has changed: ranks: 2 then, 1 now" in alone.log.read_text()
    assert read_checkpoint(folder / "mt" / "ranks" / "last.ckpt")["global_step"] == step


def test_all_ranks_stop_where_one_is_told_to_and_go_on(stopped: tuple[Path, int]) -> None:
    folder, step = stopped
    assert [rank.wait() for rank in start(folder, step + 3)] == [0, 0], (folder / "ranks.log").read_text()
    assert read_checkpoint(folder / "mt" / "ranks" / "last.ckpt")["global_step"] == step + 3
    lines = [line.split() for line in (folder / "ranks.seen").read_text().splitlines()]
    assert len(lines) == 2 * (step + 3), "each update once on each rank"
    for update in range(step + 3):
        one, other = (line[2:] for line in lines if int(line[0]) == update)
        assert not set(one) & set(other)

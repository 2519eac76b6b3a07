"""Layers that are compiled on two ranks train as one process does without."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from core.checkpoint import read_checkpoint
from core.runner import run
from tasks.mt.__main__ import load
from tests.core.tiny import ROOT, tiny_options, write_corpus
from tests.distributed.runs import TRAINING, furthest, on_ranks, unite

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

SHORT = [*TRAINING, "--trainer.max_steps=8", "--trainer.precision=32-true"]
MENU = {name: ["--config", str(ROOT / "configs" / "trainer" / f"{name}.yaml")] for name in ("ddp", "fsdp")}


@pytest.mark.parametrize("name", ["ddp", "fsdp"])
def test_two_compiled_ranks_train_as_one_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    write_corpus(tmp_path, train=100)
    torch._dynamo.reset()
    monkeypatch.setattr("core.compilation.BACKEND", "eager")
    options = [*tiny_options(tmp_path), *SHORT, f"--trainer.default_root_dir={tmp_path}"]
    menu = [*MENU[name], "--trainer.accelerator=cpu"]
    on_ranks("mt", "fit", load, 2, [*menu, *options, "--trainer.devices=2", "--run=two", "--fit.compile=true"])
    unite(monkeypatch, ranks=2)
    run("mt", "fit", [*options, "--run=one"], load)
    one, two = (read_checkpoint(tmp_path / "mt" / run / "last.ckpt") for run in ("one", "two"))
    assert list(two["state_dict"]) == list(one["state_dict"])
    distance, where = furthest(one["state_dict"], two["state_dict"])
    assert distance <= 1e-5, f"{where} differs by {distance}"

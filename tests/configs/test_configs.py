"""Every YAML in configs/ makes a run that trains, validates and ends well."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.runner import run
from tasks.mt.__main__ import load as mt
from tests.core.tiny import ROOT, corpus_options, write_corpus

if TYPE_CHECKING:
    from core.cli import Classes

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

TASKS: dict[str, Classes] = {"mt": mt}
RECIPES = sorted(path.relative_to(ROOT) for path in (ROOT / "configs").glob("*/*.yaml"))


def test_the_recipes_are_found() -> None:
    assert Path("configs/mt/default.yaml") in RECIPES
    assert {recipe.parent.name for recipe in RECIPES} <= TASKS.keys() | {"encoder", "trainer"}


@pytest.mark.parametrize("recipe", [each for each in RECIPES if each.parent.name in TASKS], ids=str)
def test_a_recipe_trains(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(tmp_path)
    task = recipe.parent.name
    options = ["--config", str(ROOT / recipe), *corpus_options(tmp_path), "--trainer.default_root_dir", str(tmp_path)]
    options += [
        "--trainer.fast_dev_run=1",
        "--trainer.accelerator=cpu",
        "--trainer.devices=1",
        "--data.batch_tokens=128",
    ]
    run(task, "fit", options, TASKS[task])
    shown = re.search(r"val/loss (\S+)", capsys.readouterr().out)
    assert shown is not None
    assert math.isfinite(float(shown[1]))

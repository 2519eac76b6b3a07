"""Every YAML in configs/ makes a run that trains, validates and ends well."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from core.folders import run_folder
from core.recipes import read_recipe
from core.runner import run
from tasks.asr.__main__ import load as asr
from tasks.captioning.__main__ import load as captioning
from tasks.dialogue.__main__ import load as dialogue
from tasks.mt.__main__ import load as mt
from tasks.qa.__main__ import load as qa
from tasks.summarization.__main__ import load as summarization
from tests.core.tiny import ROOT, corpus_options, write_corpus
from tests.tasks.asr.tiny import sound_options, write_sounds
from tests.tasks.captioning.tiny import scene_options, write_scenes
from tests.tasks.dialogue.tiny import corpus_options as dialogue_options
from tests.tasks.dialogue.tiny import write_dialogues
from tests.tasks.qa.tiny import question_options, write_questions

if TYPE_CHECKING:
    from core.cli import Load

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@dataclass(frozen=True)
class Tried:
    """How a task's recipes are tried: on a corpus of a few examples that is written to a folder, in small batches."""

    load: Load
    write: Callable[[Path], None]
    options: Callable[[Path], list[str]]
    batch: str


TASKS = {
    "asr": Tried(asr, write_sounds, sound_options, "--data.batch_seconds=3"),
    "captioning": Tried(captioning, write_scenes, scene_options, "--data.batch_size=8"),
    "dialogue": Tried(dialogue, write_dialogues, dialogue_options, "--data.batch_tokens=400"),
    "mt": Tried(mt, write_corpus, corpus_options, "--data.batch_tokens=128"),
    "qa": Tried(qa, write_questions, question_options, "--data.batch_tokens=512"),
    "summarization": Tried(summarization, write_corpus, corpus_options, "--data.batch_tokens=128"),
}
RECIPES = sorted(path.relative_to(ROOT) for path in (ROOT / "configs").glob("*/*.yaml"))


def test_the_recipes_are_found() -> None:
    assert Path("configs/mt/default.yaml") in RECIPES
    assert {recipe.parent.name for recipe in RECIPES} <= TASKS.keys() | {"encoder", "trainer"}


# FSDP trains on ranks alone: tests/distributed/test_sharding.py.
MENU = [ROOT / recipe for recipe in RECIPES if recipe.parent.name == "trainer" and recipe.stem != "fsdp"]


@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
@pytest.mark.parametrize("menu", MENU, ids=lambda path: path.stem)
def test_a_trainer_of_the_menu_goes_with_a_recipe(menu: Path, first: bool, tmp_path: Path) -> None:
    recipe = ROOT / "configs" / "mt" / "default.yaml"
    configs = [menu, recipe] if first else [recipe, menu]
    arguments = [f"--config={path}" for path in configs]
    assert run_folder("mt", None, None, None, arguments) == Path("runs/mt/default")
    given = read_recipe(menu)["trainer"]
    write_corpus(tmp_path)
    # what isn't on this machine: GPUs, and others
    here = ["--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.num_nodes=1", "--trainer.strategy=auto"]
    options = [*arguments, *corpus_options(tmp_path), "--data.batch_tokens=128", *here]
    run("mt", "fit", [*options, f"--trainer.default_root_dir={tmp_path}", "--trainer.max_steps=1"], mt)
    written = yaml.safe_load((tmp_path / "mt" / "default" / "config.yaml").read_text())["trainer"]
    assert written["max_steps"] == 1
    assert written["use_distributed_sampler"] is False
    if "precision" in given:
        assert written["precision"] == given["precision"]


def layers(recipe: Path) -> list[Path]:
    """The recipe, behind the one that it is made for where it says nothing of data: an4_las stands on an4."""
    if recipe.stem == "default" or "data" in read_recipe(recipe):
        return [recipe]
    below = recipe.with_stem("multi30k" if recipe.parent.name == "mt" else recipe.stem.split("_")[0])
    assert below.exists()
    return [below, recipe]


@pytest.mark.parametrize("recipe", [each for each in RECIPES if each.parent.name in TASKS], ids=str)
def test_a_recipe_trains(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for package in re.findall(r"package:(\w+)", (ROOT / recipe).read_text(encoding="utf-8")):
        if find_spec(package) is None:
            pytest.skip(f"its pretrained model is in the package {package}, which isn't installed")
    task = recipe.parent.name
    tried = TASKS[task]
    tried.write(tmp_path)
    configs = [f"--config={path}" for path in layers(ROOT / recipe)]
    # More than one update: an average of weights begins with the second.
    options = [*configs, *tried.options(tmp_path), tried.batch, "--trainer.fast_dev_run=3"]
    options += [f"--trainer.default_root_dir={tmp_path}"]
    run(task, "fit", [*options, "--trainer.accelerator=cpu", "--trainer.devices=1"], tried.load)
    shown = re.search(r"val/loss (\S+)", capsys.readouterr().out)
    assert shown is not None
    assert math.isfinite(float(shown[1]))

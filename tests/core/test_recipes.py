from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigError
from core.recipes import Recipe, option_hint, overlay, overlay_arguments, read_recipe, without_option

ADAM = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.003, "weight_decay": 0.1}}


def test_options_are_laid_over_one_by_one() -> None:
    below = {"trainer": {"max_steps": 10, "devices": 1}, "model": {"optimizer": ADAM}}
    above = {"trainer": {"max_steps": 20}, "model": {"optimizer": {"init_args": {"lr": 0.1}}}}
    assert overlay(below, above) == {
        "trainer": {"max_steps": 20, "devices": 1},
        "model": {"optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.1, "weight_decay": 0.1}}},
    }
    assert ADAM["init_args"] == {"lr": 0.003, "weight_decay": 0.1}, "what lies below is left as it was"


@pytest.mark.parametrize("above", ["torch.optim.SGD", {"class_path": "torch.optim.SGD"}])
def test_another_class_starts_anew(above: object) -> None:
    assert overlay({"optimizer": ADAM}, {"optimizer": above}) == {"optimizer": {"class_path": "torch.optim.SGD"}}


@pytest.mark.parametrize("above", ["AdamW", {"class_path": "torch.optim.AdamW"}])
def test_the_same_class_keeps_its_options(above: object) -> None:
    assert overlay({"optimizer": ADAM}, {"optimizer": above})["optimizer"]["init_args"] == ADAM["init_args"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "0.1"],
        ["--model.optimizer=SGD"],
        ["--model.optimizer.class_path", "torch.optim.SGD"],
        ["--model.optimizer", '{"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}'],
    ],
)
def test_a_class_on_the_command_line_starts_anew(arguments: list[str]) -> None:
    recipe: Recipe = {"model": {"optimizer": ADAM, "tie_embeddings": True}}
    found = overlay_arguments(recipe, arguments)["model"]
    assert found["optimizer"].get("init_args", {}).keys() <= {"lr"}
    assert found["optimizer"]["class_path"].endswith("SGD")
    assert found["optimizer"].get("init_args", {}).get("lr") != 0.003
    assert found["tie_embeddings"] is True


def test_a_word_takes_a_class_s_place() -> None:
    below = {"trainer": {"strategy": {"class_path": "lightning.pytorch.strategies.ModelParallelStrategy"}}}
    wanted = {"trainer": {"strategy": "auto"}}
    assert overlay(below, wanted) == wanted
    assert overlay_arguments(below, ["--trainer.strategy", "auto"]) == wanted


def test_a_command_line_without_classes_changes_nothing() -> None:
    recipe: Recipe = {"model": {"optimizer": ADAM}}
    assert overlay_arguments(recipe, ["--model.optimizer.lr", "0.1", "--model", '{"tie_embeddings": true}']) == recipe


def test_an_option_is_taken_out_in_both_forms() -> None:
    arguments = ["--config", "a.yaml", "--x", "1", "--config=b.yaml", "--configs", "2"]
    assert without_option(arguments, "--config") == ["--x", "1", "--configs", "2"]


def test_a_hint_is_the_nearest_option_or_all_of_them() -> None:
    recipe: Recipe = {"model": {"optimizer": ADAM, "schedule": {"kind": "constant"}}}
    assert option_hint(recipe, "model.optimizer", "weight_deca") == "; did you mean weight_decay?"
    assert option_hint(recipe, "model.optimizer", "zzz").startswith("; AdamW has lr, betas, ")
    assert option_hint(recipe, "model.schedule", "zzz") == ""
    assert option_hint(recipe, "model.nothing.here", "zzz") == ""


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"trainer:\n  max_steps: [1\nmodel: 3\n", r"r\.yaml:3: not YAML"),
        (b"just words", r"r\.yaml: must have options and their values, .* got str"),
        (b"a: \xff", r"r\.yaml: not UTF-8"),
    ],
)
def test_a_bad_file_gets_one_line(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=complaint):
        read_recipe(path)


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("# nothing\n", encoding="utf-8")
    assert read_recipe(path) == {}


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ([], []),
        (["--config", "a.yaml"], []),
        (["--config=a.yaml", "--run", "x", "--config", "b.yaml"], ["--run", "x"]),
        (["--run", "x"], ["--run", "x"]),
    ],
)
def test_an_option_is_left_out_of_a_command_line(arguments: list[str], kept: list[str]) -> None:
    assert without_option(arguments, "--config") == kept

"""What the parser says of wrong values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from core.objectives import Objective
from core.parser import class_names, value_error
from tasks.mt.__main__ import load
from tests.core.shell import Shell, make_shell, one_error


def test_a_text_that_isn_t_known_stays() -> None:
    assert value_error("no such thing") == "no such thing"
    assert value_error('Parser key "a.b": Expected a path. Got value: x').startswith('Parser key "a.b"')


def test_types_that_have_no_name_for_users_stay() -> None:
    for kind in ("<class 'datetime.timedelta'>", "typing.Literal[<Colour.RED: 1>]"):
        text = f'Parser key "a": Expected a {kind}. Got value: x'
        assert value_error(text) == text


@pytest.mark.parametrize("hint", [Objective | None, Callable[[int], Objective], list[Objective]])
def test_the_classes_of_a_type_are_found_where_they_stand(hint: object) -> None:
    names = set(class_names(hint))
    assert {"CrossEntropy", "ScheduledSampling"} <= names
    assert not names & {"int", "NoneType", "Objective"}


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs `python -m tasks.mt ...` in this process."""
    return make_shell("mt", load, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("option", "meant"),
    [
        ("--model.encoder.num_layer", "num_layers"),
        ("--model.generation.beam", "beam_size"),
        ("--data.batch_token", "--data.batch_tokens"),
        ("--model.optimizer.learning_rate", "AdamW has lr, betas"),
    ],
)
def test_a_misspelt_option_gets_one_line_with_the_nearest(shell: Shell, option: str, meant: str) -> None:
    shown = shell("fit", option, "3")
    line = one_error(shown)
    assert shown.code == 2
    assert option in line or option.rpartition(".")[2] in line
    assert meant in line


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        (
            "--model.encoder",
            "RecurentEncoder",
            "model.encoder: no class is called RecurentEncoder; did you mean Rec",
        ),
        ("--model.optimizer", "adamw", "did you mean AdamW?"),
        ("--data.corpus", "Qxyz", "data.corpus: no class is called Qxyz; there are AlignedText, "),
        ("--model.encoder", "core.batch.Nobody", "model.encoder: core.batch.Nobody: module 'core.batch' has no attri"),
        ("--model.objective", "core.batch.Nobody", "model.objective: core.batch.Nobody: module 'core.batch' has no"),
        ("--model.encoder.norm", "prf", "model.encoder.norm: must be one of pre, post, got prf; did you mean pre?"),
        ("--model.objective.label_smoothing", "x", "model.objective.label_smoothing: must be a number, got x"),
        ("--model.objective.label_smothing", "0", "no option is called label_smothing; did you mean label_smoothing?"),
        ("--trainer.precision", "bf61", "32-true, 64-true, bf16 or null, got bf61; did you mean bf16?"),
        ("--trainer.max_steps", "ten", "trainer.max_steps: must be a whole number, got ten"),
        ("--model.phrases.required", "x", "model.phrases.required: must be a list, '[a, b]', got x"),
        ("--trainer.strategy", "ddpp", "did you mean ddp?"),
        ("--trainer.accelerator", "cudaa", "did you mean cuda?"),
        ("--trainer.devices", "3x", "should be an int > 0"),
    ],
)
def test_a_value_that_doesn_t_fit_gets_one_line(shell: Shell, option: str, value: str, said: str) -> None:
    shown = shell("fit", option, value)
    assert said in one_error(shown)
    assert shown.code == 2


def test_a_misspelt_option_of_a_file_gets_one_line_with_the_nearest(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("trainer: {max_step: 3}\n", encoding="utf-8")
    line = one_error(shell("fit", "--config", tmp_path / "mine.yaml"))
    assert "'max_step'" in line
    assert "did you mean --trainer.max_steps?" in line

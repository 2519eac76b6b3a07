from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from core.cli import check_files, option_values
from core.errors import ConfigError, did_you_mean

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )


def test_help_and_a_wrong_command_import_nothing_heavy() -> None:
    code = "import sys; import tasks.mt.__main__; print([m for m in ('torch', 'lightning') if m in sys.modules])"
    assert run("-c", code).stdout.strip() == "[]"
    shown = run("-m", "tasks.mt", "--help")
    assert shown.returncode == 0
    assert all(verb in shown.stdout for verb in ("fit", "validate", "test", "predict"))


def test_a_wrong_command_gets_one_line_with_the_nearest_one() -> None:
    shown = run("-m", "tasks.mt", "tset")
    assert shown.returncode == 2
    assert shown.stderr.splitlines() == ["error: unknown command 'tset'; did you mean test?"]


def test_a_command_that_is_like_none_gets_all_of_them() -> None:
    shown = run("-m", "tasks.mt", "frobnicate")
    assert shown.stderr.splitlines() == [
        "error: unknown command 'frobnicate'; there are fit, validate, test, predict, lengths"
    ]


def test_a_place_that_can_t_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    shown = run(
        "-m", "tasks.mt", "fit", "--trainer.max_steps", "1", "--trainer.default_root_dir", str(tmp_path / "file")
    )
    assert shown.returncode == 1
    assert shown.stderr.strip().splitlines()[-1].startswith(f"error: {tmp_path / 'file'}/mt/default: ")
    assert "Traceback" not in shown.stderr


def test_a_wrong_option_gets_one_line_with_the_nearest_one() -> None:
    shown = run("-m", "tasks.mt", "fit", "--trainer.max_step", "3")
    assert shown.returncode == 2
    lines = shown.stderr.strip().splitlines()
    assert len(lines) == 1
    assert "--trainer.max_steps" in lines[0]


@pytest.mark.parametrize("verb", ["validate", "test", "predict"])
def test_no_checkpoint_is_an_error_and_not_a_score_of_random_weights(verb: str) -> None:
    shown = run("-m", "tasks.mt", verb)
    assert shown.returncode == 1
    assert f"{verb} needs --ckpt_path" in shown.stderr


def test_option_values_are_found_in_both_forms() -> None:
    arguments = ["--config", "a.yaml", "--x", "1", "--config=b.yaml"]
    assert option_values(arguments, "--config") == ["a.yaml", "b.yaml"]


def test_last_is_no_checkpoint() -> None:
    with pytest.raises(ConfigError, match=r"--ckpt_path: there is no file last; give the path of a \.ckpt"):
        check_files("test", ["--ckpt_path", "last"])


def test_did_you_mean_is_silent_when_nothing_is_near() -> None:
    assert did_you_mean("xyzzy", ["fit", "test"]) == ""

"""A task's command line, run in the test's own process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from core.cli import main

if TYPE_CHECKING:
    from core.cli import Load


@dataclass(frozen=True)
class Shown:
    """What a command left on the screen."""

    code: int
    out: str
    err: str


Shell = Callable[..., Shown]


def make_shell(task: str, load: Load, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """A function that runs `python -m tasks.<task> ...`."""

    def call(*arguments: str | Path) -> Shown:
        monkeypatch.setattr(sys, "argv", [task, *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main(task, load)
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        return Shown(code, *capsys.readouterr())

    return call


def one_error(shown: Shown) -> str:
    """The only line on standard error, of a command that failed."""
    assert shown.code in (1, 2), shown
    lines = shown.err.splitlines()
    assert len(lines) == 1, shown.err
    assert lines[0].startswith("error: ")
    return lines[0]

"""Where a run writes, and where the one that it goes on from has written."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from core.cli import LAST, option_values
from core.errors import CheckpointError
from core.recipes import Recipe, without_option


def run_folder(task: str, root: str | None, name: str | None, ckpt_path: str | None, arguments: Sequence[str]) -> Path:
    """Where a run writes: the folder of its name or of the checkpoint that it goes on from, or a new one.

    Args:
        task: its name.
        root: trainer.default_root_dir; None for `runs`.
        name: --run.
        ckpt_path: --ckpt_path.
        arguments: the command line, whose last --config, menus apart, names a folder without a name.
    """
    if name is None and ckpt_path:
        return Path(ckpt_path).parent
    first = _first_folder(task, root, name, arguments)
    if name is not None:
        return first
    candidates = (first if number == 1 else first.with_name(f"{first.name}-{number}") for number in count(1))
    # Every rank comes to the same answer: no checkpoint is written before all of them have started.
    return next(folder for folder in candidates if not any(folder.glob("*.ckpt")))


def last_or_fresh(task: str, arguments: Sequence[str], recipe: Recipe) -> list[str]:
    """Puts the run's own last.ckpt in the place of `--ckpt_path last`, or leaves the option out where there is none.

    So one command line starts a run and starts it again, whatever ended it.

    Args:
        task: its name.
        arguments: the command line of `fit`.
        recipe: what holds where the command line is silent.

    Raises:
        CheckpointError: the run's folder has checkpoints but no last.ckpt: a fresh start would overwrite them.
    """
    if option_values(arguments, "--ckpt_path")[-1:] != [LAST]:
        return list(arguments)
    given = option_values(arguments, "--trainer.default_root_dir")
    root = given[-1] if given else (recipe.get("trainer") or {}).get("default_root_dir")
    names = option_values(arguments, "--run")
    folder = _first_folder(task, root, names[-1] if names else recipe.get("run"), arguments)
    rest = without_option(arguments, "--ckpt_path")
    path = folder / f"{LAST}.ckpt"
    if path.is_file():
        print(f"--ckpt_path last: going on from {path}", file=sys.stderr)
        return [*rest, "--ckpt_path", str(path)]
    others = sorted(each.name for each in folder.glob("*.ckpt"))
    if others:
        raise CheckpointError(
            f"--ckpt_path last: {folder} has {', '.join(others)} but no {path.name}, and a fresh start would overwrite "
            "them: name the file to go on from, or another --run"
        )
    print(f"--ckpt_path last: there is no {path} yet: a fresh start", file=sys.stderr)
    return rest


def keep_old(path: Path) -> None:
    """Gives a file that is about to be written anew the first free name with a number behind it."""
    if path.exists():
        number = next(n for n in count(1) if not path.with_stem(f"{path.stem}-{n}").exists())
        path.rename(path.with_stem(f"{path.stem}-{number}"))


def _first_folder(task: str, root: str | None, name: str | None, arguments: Sequence[str]) -> Path:
    # The menus say how a run is trained, not what it is: a recipe has the same name on one machine as on many.
    recipes = [path for path in map(Path, option_values(arguments, "--config")) if path.parent.name not in MENUS]
    return Path(root or "runs") / task / str(name or (recipes[-1].stem if recipes else "default"))


MENUS = ("trainer", "encoder")

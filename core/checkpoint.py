"""Checkpoints: reading them safely, what ours carry beside the weights, and the average of several.

A checkpoint of ours is Lightning's, plus a plain-data entry "polyseq" with the task, the whole configuration and the
tokenizers. It is read under `weights_only=True`: loading one never executes code.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch

from core.atomic import save_whole
from core.errors import CheckpointError, PolyseqError

KEY = "polyseq"
FORMAT = 1


def package_version() -> str:
    """The installed version of polyseq, or "unknown" in a tree that was never installed."""
    try:
        return version("polyseq")
    except PackageNotFoundError:
        return "unknown"


def card(task: str, source_size: int, config: dict[str, Any], tokenizers: dict[str, dict[str, str]]) -> dict[str, Any]:
    """The entry of a checkpoint that says what it is."""
    return {
        "format": FORMAT,
        "version": package_version(),
        "task": task,
        "source_size": source_size,
        "config": config,
        "tokenizers": tokenizers,
    }


def read_checkpoint(path: str | Path, task: str | None = None) -> dict[str, Any]:
    """Reads one of our checkpoints to the CPU.

    Raises:
        CheckpointError: the file is missing, truncated, damaged, not a checkpoint, holds code, is not ours, of a newer
            format, or of another task.
    """
    file = Path(path)
    if not file.is_file():
        raise CheckpointError(f"ckpt_path: there is no file {file}; give the path of a .ckpt that `fit` wrote")
    _check_archive(file)
    try:
        checkpoint: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "weights_only" not in str(error).lower():
            raise CheckpointError(f"{file} can't be read as a checkpoint: {_first_line(error)}") from error
        raise CheckpointError(
            f"{file} isn't read: it holds more than plain data, and loading it could execute what it likes; "
            "checkpoints that `fit` writes never do"
        ) from error
    except (RuntimeError, EOFError, KeyError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{file} can't be read as a checkpoint: {_first_line(error)}") from error
    _check_card(file, checkpoint, task)
    return checkpoint


def _check_archive(file: Path) -> None:
    """Finds what is damaged: torch itself compares no checksums, and takes a weight with a flipped bit as it is.

    Raises:
        CheckpointError: the file is truncated, damaged, or no checkpoint.
    """
    if not is_zipfile(file):
        raise CheckpointError(f"{file} is truncated or not a checkpoint: it is no zip archive with an intact end")
    try:
        with ZipFile(file) as archive:
            damaged = archive.testzip()
    except (BadZipFile, OSError, ValueError, NotImplementedError, EOFError, RuntimeError) as error:
        raise CheckpointError(f"{file} is damaged: {_first_line(error)}") from error
    if damaged is not None:
        raise CheckpointError(f"{file} is damaged: the checksum of {damaged} is wrong; copy it again, or take another")


def _check_card(file: Path, checkpoint: object, task: str | None) -> None:
    """Looks at whose checkpoint it is.

    Raises:
        CheckpointError: it isn't ours, of a newer format, of another task, or incomplete.
    """
    about = checkpoint.get(KEY) if isinstance(checkpoint, dict) else None
    if not isinstance(about, dict) or not isinstance(checkpoint, dict):
        raise CheckpointError(f"{file} is not a checkpoint of polyseq: it lacks the entry {KEY!r}")
    if about.get("format") != FORMAT:
        newer = isinstance(about.get("format"), int) and about["format"] > FORMAT
        mend = "; update polyseq" if newer else ""
        raise CheckpointError(
            f"{file} has format {about.get('format')} (written by polyseq {about.get('version', 'unknown')}), this "
            f"version of polyseq ({package_version()}) reads {FORMAT}{mend}"
        )
    if task is not None and about.get("task") != task:
        raise CheckpointError(f"{file} belongs to the task {about.get('task')}, not to {task}")
    entries = {"state_dict": checkpoint, **dict.fromkeys(("config", "tokenizers", "source_size"), about)}
    missing = [name for name, place in entries.items() if name not in place]
    if missing:
        raise CheckpointError(f"{file} is not a whole checkpoint: it lacks {', '.join(missing)}")


def _first_line(error: Exception) -> str:
    """What an error says, or what it is where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def average(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Averages the weights of several checkpoints of one run (Vaswani et al. 2017, section 6.1).

    Returns:
        The last checkpoint with averaged weights and without what only a resumed training needs.

    Raises:
        CheckpointError: nothing to average, or checkpoints whose weights differ in name or shape.
    """
    if not paths:
        raise CheckpointError("nothing to average: give the paths of one or more checkpoints")
    total: dict[str, torch.Tensor] = {}
    checkpoint: dict[str, Any] = {}
    for path in paths:
        checkpoint = read_checkpoint(path)
        weights: dict[str, torch.Tensor] = checkpoint["state_dict"]
        shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        if total and shapes != {name: tuple(weight.shape) for name, weight in total.items()}:
            raise CheckpointError(f"{path} has other weights than {paths[0]}: only one model's can be averaged")
        for name, weight in weights.items():
            total[name] = weight.double() + total.get(name, torch.zeros((), dtype=torch.float64))
    for name, weight in checkpoint["state_dict"].items():
        mean = total[name] / len(paths)
        checkpoint["state_dict"][name] = (mean if weight.is_floating_point() else weight).to(weight.dtype)
    needed = {KEY, "state_dict", "epoch", "global_step", "pytorch-lightning_version"}
    return {key: value for key, value in checkpoint.items() if key in needed}


def main(arguments: Sequence[str]) -> None:
    """Runs `python -m core.checkpoint average A B ... --output C`.

    Raises:
        CheckpointError: see `average`.
        StorageError: the average can't be written.
    """
    parser = argparse.ArgumentParser(prog="python -m core.checkpoint", description="What can be done with checkpoints.")
    command = parser.add_subparsers(required=True).add_parser("average", help="average the weights of several")
    command.add_argument("checkpoints", type=Path, nargs="+", help="of one run, the step=N.ckpt of fit.keep say")
    command.add_argument("--output", type=Path, required=True, help="the checkpoint to write")
    options = parser.parse_args(arguments)
    mean = average(options.checkpoints)
    save_whole(mean, options.output)
    print(f"average of {len(options.checkpoints)} checkpoints: {options.output}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except PolyseqError as error:
        sys.exit(f"error: {error}")

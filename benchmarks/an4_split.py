"""AN4 divided as ESPnet's recipe divides it, to stand beside its figures: `python -m benchmarks.an4_split`.

The first 100 of the 948 training utterances, by speaker and number, are its development set `train_dev`: 591 words of
eight speakers whom the rest doesn't have. Which utterances are in our own `train.jsonl` and `dev.jsonl` is no matter to
it: both are read and divided anew.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from core.atomic import write_text
from core.data.records import parse
from core.data.text import read_lines
from core.errors import DataError, PolyseqError

DEV = 100  # utterances


def espnet_id(audio: str) -> str:
    """The name that its recipe sorts by: `audio/an251-fash-b.flac` is "fash-an251-b".

    Raises:
        DataError: the name isn't made of three parts.
    """
    parts = Path(audio).stem.split("-")
    if len(parts) != 3:
        raise DataError(f"AN4's recordings are called like an251-fash-b, got {audio!r}")
    number, speaker, channel = parts
    return f"{speaker}-{number}-{channel}"


def divide(manifests: Sequence[Path]) -> tuple[list[str], list[str]]:
    """The lines of all manifests as two manifests: training and development.

    Raises:
        DataError: a line isn't an object with the recording's name in `audio`, or there are not more than 100 of them.
    """
    lines: dict[str, str] = {}
    for path in manifests:
        for number, line in enumerate(read_lines(path), 1):
            audio = parse(line, path, number).get("audio")
            if not isinstance(audio, str):
                raise DataError("'audio' must be the recording's path", path, number)
            lines[espnet_id(audio)] = line
    if len(lines) <= DEV:
        raise DataError(f"{DEV} utterances are for development: more than those are needed, found {len(lines)}")
    ordered = [lines[name] for name in sorted(lines)]
    return ordered[DEV:], ordered[:DEV]


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes `train.jsonl` and `dev.jsonl`, whose paths start where those of the given manifests did."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.an4_split", description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("../shared/data/asr/an4"), help="with both manifests")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/an4_espnet"), help="a folder")
    options = parser.parse_args(arguments)
    try:
        train, dev = divide([options.folder / "train.jsonl", options.folder / "dev.jsonl"])
        for name, lines in (("train", train), ("dev", dev)):
            path = options.output / f"{name}.jsonl"
            write_text(path, "".join(f"{line}\n" for line in lines))
            print(f"{path}: {len(lines)} utterances")
    except PolyseqError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

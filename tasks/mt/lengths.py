"""`python -m tasks.mt lengths NAME=FILE ...`: BLEU against the length of the source, all systems in one picture.

A FILE is what `test` leaves beside a checkpoint (`best.test.jsonl`), or what `predict` wrote as JSONL together with
`--references`. The picture is that of Bahdanau et al. 2014, figure 2.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.columns import aligned
from core.data.text import read_lines
from core.errors import ConfigError, DataError
from core.metrics.base import Scored
from core.metrics.lengths import DEFAULT_EDGES, LengthBucket, bleu_by_length


class Parser(argparse.ArgumentParser):
    """Raises where argparse would exit."""

    def error(self, message: str) -> Any:
        """Raises ConfigError."""
        raise ConfigError(f"lengths: {message}")


def main(arguments: Sequence[str]) -> None:
    """Runs the command: prints the table, and draws the picture.

    Raises:
        ConfigError: an option is wrong.
        DataError: a file can't be read, or the systems didn't translate the same sources.
    """
    options = _parser().parse_args(arguments)
    references = None if options.references is None else read_lines(options.references)
    systems = {name: read_examples(path, references) for name, path in _named(options.systems).items()}
    check_same_sources(systems)
    buckets = {name: bleu_by_length(examples, options.edges) for name, examples in systems.items()}
    rows = table(buckets)
    print(aligned(rows))
    if options.csv is not None:
        options.csv.parent.mkdir(parents=True, exist_ok=True)
        with options.csv.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    from core.plots import lengths_figure, save

    save(lengths_figure(buckets, options.title), options.output)
    print(f"picture: {options.output}")


def _parser() -> Parser:
    parser = Parser(
        prog="python -m tasks.mt lengths", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("systems", nargs="+", metavar="NAME=FILE", help="a system's name and its JSONL file")
    parser.add_argument("--references", type=Path, help="right translations by line; not needed after `test`")
    parser.add_argument("--output", type=Path, default=Path("bleu_by_length.png"), help="the picture (%(default)s)")
    parser.add_argument("--csv", type=Path, help="also write the table to this file")
    parser.add_argument("--title", default="", help="above the picture")
    parser.add_argument(
        "--edges", type=int, nargs="+", default=DEFAULT_EDGES, help="the longest source of each group, in words"
    )
    return parser


def _named(systems: Sequence[str]) -> dict[str, Path]:
    """Reads NAME=FILE."""
    named: dict[str, Path] = {}
    for system in systems:
        name, separator, path = system.partition("=")
        if not (name and separator and path):
            raise ConfigError(
                f"lengths: {system!r} must be NAME=FILE, bahdanau=runs/mt/bahdanau2014/best.test.jsonl say"
            )
        if name in named:
            raise ConfigError(f"lengths: two systems are called {name}: give them different names")
        named[name] = Path(path)
    return named


def read_examples(path: Path, references: Sequence[str] | None = None) -> list[Scored]:
    """Reads a system's translations.

    Args:
        path: JSON lines with `id`, `source`, and either `hypothesis` and `references` (from `test`), or `hypotheses`
            with the best first (from `predict`).
        references: right translations by id, in place of those of the file.

    Raises:
        DataError: a line isn't such a JSON object, or has no reference.
    """
    examples = [_example(line, path, number, references) for number, line in enumerate(read_lines(path), start=1)]
    if references is not None and len(references) != len(examples):
        raise DataError(f"has {len(examples)} translations, but there are {len(references)} references", path)
    return examples


def _example(line: str, path: Path, number: int, references: Sequence[str] | None) -> Scored:
    try:
        row = json.loads(line)
        if "hypothesis" in row:
            hypothesis = row["hypothesis"]
        else:
            hypothesis = row["hypotheses"][0]["text"] if row["hypotheses"] else ""
        id_, source = int(row["id"]), str(row["source"])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise DataError("not a line that `test` or `predict` wrote as JSONL", path, number) from error
    targets = row.get("references", ()) if references is None else references[id_ : id_ + 1]
    if not targets:
        raise DataError("has no reference: give --references FILE, aligned with the translated lines", path, number)
    return Scored(id_, hypothesis, tuple(targets), source)


def check_same_sources(systems: Mapping[str, Sequence[Scored]]) -> None:
    """Systems can be compared on the same sources only.

    Raises:
        DataError: two of them differ.
    """
    sources = {name: {example.id: example.source for example in examples} for name, examples in systems.items()}
    first, *others = sources
    for name in others:
        if sources[name] != sources[first]:
            raise DataError(f"{first} and {name} didn't translate the same sources: they can't be compared by length")


def table(systems: Mapping[str, Sequence[LengthBucket]]) -> list[list[str]]:
    """Rows by source length: the range, how many sources, and each system's BLEU."""
    groups = zip(*systems.values(), strict=True)
    rows = [[group[0].label, str(group[0].examples), *(f"{bucket.bleu:.2f}" for bucket in group)] for group in groups]
    return [["words", "sentences", *systems], *rows]

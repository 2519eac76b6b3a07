"""The scores of a checkpoint on a split: shown to a person, and left beside it for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.atomic import write_text
from core.metrics.base import CorpusMetric

WIDTH = 160  # of a table that goes into a file


def print_scores(title: str, scores: Mapping[str, float], signatures: Mapping[str, str]) -> None:
    """Prints a table: a line for each score, with the signature of its metric."""
    from rich.console import Console
    from rich.table import Table

    table = Table("score", "value", "signature", title=title)
    for name, value in shown_scores(scores):
        table.add_row(name, value, signatures.get(name, ""))
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table)


def shown_scores(scores: Mapping[str, float]) -> list[tuple[str, str]]:
    """A row for each score, with half of its bootstrap interval behind it where it has one: (name, "39.92 ± 1.55")."""
    of_interval = {f"{name}_{part}" for name in scores for part in ("mean", "ci") if f"{name}_ci" in scores}
    return [
        (name, f"{value:.4f}" + (f" ± {scores[f'{name}_ci']:.4f}" if f"{name}_ci" in scores else ""))
        for name, value in scores.items()
        if name not in of_interval
    ]


def leave_scores(path: Path, scores: Mapping[str, float], metric: CorpusMetric, made: Mapping[str, Any]) -> None:
    """Writes the scores to a file, and beside it, as JSON lines, what was scored.

    Args:
        path: a .json file.
        scores: by name.
        metric: what scored them.
        made: how what was scored was made, for the same file.

    Raises:
        StorageError: a file can't be written.
    """
    report = {"scores": dict(scores), "signatures": metric.signatures(), "examples": len(metric.examples), **made}
    write_text(path, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    lines = (json.dumps(asdict(example), ensure_ascii=False) + "\n" for example in metric.examples)
    write_text(path.with_suffix(".jsonl"), "".join(lines))
    print(f"scores: {path}; what was written: the .jsonl beside it")

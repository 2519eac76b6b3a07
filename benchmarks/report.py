"""What every benchmark prints and keeps: a Markdown table, and a JSON file that also tells where it was measured."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core.environment import installed_version, processor

PACKAGES = ("torch", "lightning", "transformers", "tokenizers", "sacrebleu", "polyseq")


@dataclass(frozen=True)
class Environment:
    """Where a benchmark ran.

    Attributes:
        processor: its name, as the system gives it.
        cores: that this process may run on.
        threads: that torch works with.
        load: the system's load average of the last minute when the benchmark began: above 0.5 it wasn't alone.
        python: its version.
        packages: the versions of what the numbers depend on.
    """

    processor: str
    cores: int
    threads: int
    load: float
    python: str
    packages: dict[str, str]

    @classmethod
    def here(cls, threads: int) -> Environment:
        """Reads this machine; call it before the work begins, so that the load is that of the others."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        packages = {name: found for name in PACKAGES if (found := installed_version(name))}
        return cls(processor(), cores, threads, os.getloadavg()[0], platform.python_version(), packages)

    def __str__(self) -> str:
        packages = ", ".join(f"{name} {number}" for name, number in self.packages.items())
        return (
            f"{self.processor}, {self.cores} cores, {self.threads} threads, load {self.load:.2f} at the start; "
            f"Python {self.python}, {packages}"
        )


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table with its numbers to the right: the first column is text, the others are numbers or short words."""
    cells = [[_cell(value) for value in row] for row in rows]
    lines = [list(header), ["---", *["---:"] * (len(header) - 1)], *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def spread(values: Sequence[float]) -> str:
    """The smallest and the largest of several rounds, which says what a difference between medians is worth."""
    return f"{_cell(float(min(values)))}–{_cell(float(max(values)))}"


def median(values: Sequence[float]) -> float:
    """The middle of several rounds: unlike a mean, one disturbed round doesn't move it."""
    return float(statistics.median(values))


def add_report_options(parser: argparse.ArgumentParser, name: str) -> None:
    """Adds the options that all benchmarks share: `--threads` and `--output`."""
    parser.add_argument("--threads", type=int, default=1, help="threads of each process (default: %(default)s)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(f"runs/benchmarks/{name}.json"),
        help="where the JSON goes (default: %(default)s)",
    )


def publish(
    title: str, header: Sequence[str], rows: Sequence[Sequence[object]], environment: Environment, path: Path
) -> None:
    """Prints a result as Markdown and writes the same to a JSON file, each row under the header's names."""
    print(f"### {title}\n\n{markdown_table(header, rows)}\n\n{environment}", flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    results = [dict(zip(header, row, strict=True)) for row in rows]
    content = {"title": title, "environment": asdict(environment), "results": results}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

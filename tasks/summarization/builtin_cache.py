"""Keeps the built-in corpus on the disk: made once, whole even where a process is killed on the way."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from core.atomic import write_text
from core.data.corpus import Split
from core.data.locking import locked

Pairs = dict[Split, list[tuple[str, str]]]


@dataclass(frozen=True)
class Stored:
    """A corpus that is made.

    Attributes:
        pairs: sources and targets by split.
        counts: what was read, and what was left out for which reason.
        about: the environment that it comes from: versions, the number of files and their fingerprint.
    """

    pairs: Pairs
    counts: dict[str, int]
    about: dict[str, str]

    def told(self) -> str:
        """One line on what was left out and one on where all of it comes from."""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.counts.items())
        return f"built-in corpus: {counts}\nfrom {', '.join(f'{name} {value}' for name, value in self.about.items())}"


def cached(folder: Path, about: Mapping[str, str], make: Callable[[], tuple[Pairs, dict[str, int]]]) -> Stored:
    """Takes a corpus from the cache, or makes it; processes that want it at the same time wait for the first.

    Args:
        folder: of this corpus and no other.
        about: what is kept beside it.
        make: gives the pairs and the counts.

    Raises:
        StorageError: it can't be kept.
    """
    path = folder / "corpus.json"
    with locked(folder / "lock"):
        if not path.exists():
            print(f"reading the docstrings of {about['files']} Python files, once, into {folder}", file=sys.stderr)
            write_text(path, json.dumps(asdict(Stored(*make(), dict(about)))))
    found = json.loads(path.read_text(encoding="utf-8"))
    pairs: Pairs = {split: [(source, target) for source, target in rows] for split, rows in found["pairs"].items()}
    return Stored(pairs, found["counts"], found["about"])

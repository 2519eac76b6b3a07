"""`python -m tasks.mt fit|validate|test|predict`, and `lengths`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.cli import main

if TYPE_CHECKING:
    from core.task import Task


def load() -> Task:
    """Imports what trains."""
    from core.task import Task
    from tasks.mt.data import MtData
    from tasks.mt.module import MtModule

    return Task(MtModule, MtData)


def lengths(arguments: Sequence[str]) -> None:
    """Imports what draws."""
    from tasks.mt.lengths import main as draw

    draw(arguments)


if __name__ == "__main__":
    main("mt", load, {"lengths": ("draw BLEU against source length for several systems (NAME=FILE.jsonl)", lengths)})

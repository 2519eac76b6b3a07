"""`python -m tasks.mt fit|validate|test|predict`, and `lengths`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.cli import main

if TYPE_CHECKING:
    from tasks.mt.data import MtData
    from tasks.mt.module import MtModule


def classes() -> tuple[type[MtModule], type[MtData]]:
    """Imports what trains."""
    from tasks.mt.data import MtData
    from tasks.mt.module import MtModule

    return MtModule, MtData


def lengths(arguments: Sequence[str]) -> None:
    """Imports what draws."""
    from tasks.mt.lengths import main as draw

    draw(arguments)


if __name__ == "__main__":
    main("mt", classes, {"lengths": ("draw BLEU against source length for several systems (NAME=FILE.jsonl)", lengths)})

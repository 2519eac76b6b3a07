"""`python -m tasks.mt fit|validate|test|predict`."""

from __future__ import annotations

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


if __name__ == "__main__":
    main("mt", classes)

"""Tables as plain text, for reports and terminals."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Puts columns two spaces apart, the first flush left and the others flush right; lines end with their last word.

    Args:
        rows: of equally many cells.
    """
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            padded(cell, width, flush_right=place > 0)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def width_of(text: str) -> int:
    """The columns that a terminal gives a text: two for each Chinese, Japanese or Korean character."""
    from rich.cells import cell_len

    return cell_len(text)


def padded(cell: str, width: int, flush_right: bool = False) -> str:
    """Fills a cell with spaces to the columns of a terminal that it may take."""
    space = " " * (width - width_of(cell))
    return space + cell if flush_right else cell + space

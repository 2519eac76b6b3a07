"""Errors that are meant for the user: what is wrong, where, and what would be right."""

from __future__ import annotations

from pathlib import Path


class PolyseqError(Exception):
    """Base of all errors that the command line prints as one line, without a traceback."""


class ConfigError(PolyseqError, ValueError):
    """An option, or a combination of options, that can't work; the message names the field and the mend."""


class CheckpointError(PolyseqError):
    """A checkpoint that is missing, truncated, not ours, or doesn't belong to what it is used with."""


class DataError(PolyseqError):
    """Data that can't be used, with the file and line (1-based) where it stands."""

    def __init__(self, message: str, path: str | Path | None = None, line: int | None = None) -> None:
        self.path, self.line = path, line
        place = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        super().__init__(place + message)

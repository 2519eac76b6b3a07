"""Errors that are meant for the user: what is wrong, where, and what would be right."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
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


class StorageError(PolyseqError):
    """A file that can't be written: its path, the reason and the room that there is."""


class StoppedError(PolyseqError):
    """A run that was asked to stop and did; not a failure.

    Args:
        message: what was kept, and how to go on.
        code: what the process exits with, 128 and the signal's number as shells have it.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A hint at the nearest known word, to be put behind a message, or nothing."""
    by_letters = {each.lower(): each for each in known}
    near = get_close_matches(word.lower(), list(by_letters), n=1, cutoff=0.6)
    return f"; did you mean {by_letters[near[0]]}?" if near else ""

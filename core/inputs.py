"""What `predict` reads: lines of files, of directories, of standard input, or sentences from the command line."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from core.errors import DataError

STDIN = "-"
WRITTEN = (
    ".hyp.txt",
    ".hyp.jsonl",
    ".hyp.srt",
    ".hyp.vtt",
    ".part",
)  # the ends of our own files' names, which are never read from a directory


@dataclass(frozen=True)
class Line:
    """One line of an input.

    Attributes:
        number: 1-based, in its file.
        text: without its line end; empty where it can't be read.
        problem: why it can't be read; empty where it can.
    """

    number: int
    text: str
    problem: str = ""


@dataclass(frozen=True)
class TextInput:
    """A sequence of lines with a name.

    Attributes:
        name: what reports call it: a path, "standard input" or "--text".
        path: where its lines are; None for standard input or for given ones.
        given: the lines themselves, in place of a path; None for standard input.
    """

    name: str
    path: Path | None = None
    given: tuple[str, ...] | None = None

    def lines(self) -> Iterator[Line]:
        r"""Reads line by line, so that an input may be larger than memory. Only \n and \r\n end a line.

        Raises:
            DataError: the file can't be read.
        """
        if self.given is not None:
            for number, text in enumerate(self.given, start=1):
                yield _decode(number, text.replace("\n", " ").encode("utf-8", "surrogateescape"))
            return
        try:
            with self._open() as file:
                for number, raw in enumerate(file, start=1):
                    yield _decode(number, raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"can't be read: {error}", self.name) from error

    def _open(self) -> AbstractContextManager[Iterable[bytes]]:
        if self.path is None:
            return nullcontext(sys.stdin.buffer)
        return gzip.open(self.path, "rb") if self.path.suffix == ".gz" else self.path.open("rb")


def _decode(number: int, raw: bytes) -> Line:
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return Line(number, raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        problem = f"not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start} of the line; its output is empty"
        return Line(number, "", problem)


def files_below(folder: Path, without: Sequence[Path] = (), suffixes: Collection[str] = ()) -> list[Path]:
    """The files below a directory in the order of their names, without hidden ones and without what `predict` wrote.

    Args:
        folder: where to look.
        without: directories that are left out, such as the output's.
        suffixes: the ends of the names that are wanted, in lower case; none for all.
    """
    left_out = [path.resolve() for path in without]

    def wanted(path: Path) -> bool:
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        ours = any(path.resolve().is_relative_to(other) for other in left_out)
        other = bool(suffixes) and path.suffix.lower() not in suffixes
        return path.is_file() and not (hidden or ours or other or path.name.endswith(WRITTEN))

    return sorted(path for path in folder.rglob("*") if wanted(path))

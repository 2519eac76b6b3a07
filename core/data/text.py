"""Reading lines of text from files, without ever losing count of them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, zip_longest
from pathlib import Path

from core.data.corpus import Split, SplitCorpus, TextPair
from core.errors import DataError

RATIO = 200  # by which text is never packed
SMALL = 1 << 24  # bytes that are unpacked whatever the ratio
CHUNK = 1 << 20  # bytes that are read at once
MARK = b"\xef\xbb\xbf"  # the byte order mark


def read_bytes(path: Path) -> bytes:
    """The bytes of a file without a byte order mark; one that ends in .gz is unpacked.

    Raises:
        DataError: there is no such file, or it is empty or not readable.
    """
    with _told_errors(path):
        data = b"".join(_chunks(path)).removeprefix(MARK)
    if not data.strip():
        raise DataError("the file is empty", path)
    return data


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, as `iterate_lines` gives them.

    Raises:
        DataError: see `iterate_lines`.
    """
    return list(iterate_lines(path))


def iterate_lines(path: Path) -> Iterator[str]:
    r"""The lines of a UTF-8 file, of which no more than a part is in memory; one that ends in .gz is unpacked.

    Only \n and \r\n end a line: U+2028, U+0085 or a form feed inside it don't. A byte order mark is taken off.

    Raises:
        DataError: there is no such file, or it is empty or not readable; or a line isn't UTF-8.
    """
    for number, line in enumerate(_written(iterate_bytes(path), path), start=1):
        yield decode_line(line, path, number)


def _written(lines: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """The same lines; refuses a file that has nothing but white space, before anybody wonders at its first line."""
    blank: list[bytes] = []
    for line in lines:
        if line.removeprefix(b"" if blank else MARK).strip():
            return chain(blank, [line], lines)
        blank.append(line)
    raise DataError("the file is empty", path)


def iterate_bytes(path: Path) -> Iterator[bytes]:
    r"""A file's lines as bytes, without the \n at their ends; none of an empty file.

    Raises:
        DataError: there is no such file, or it isn't readable.
    """
    with _told_errors(path):
        begun: list[bytes] = []  # of a line whose end isn't read yet
        for chunk in _chunks(path):
            first, *others = chunk.split(b"\n")
            begun.append(first)
            if others:
                yield b"".join(begun)
                yield from others[:-1]
                begun = [others[-1]]
        if rest := b"".join(begun):
            yield rest


def _chunks(path: Path) -> Iterator[bytes]:
    """A file's bytes, unpacked, unless they can't be text: gzip packs a thousand zeros into one byte."""
    packed = path.suffix == ".gz"
    limit = max(SMALL, RATIO * path.stat().st_size) if packed else None
    read = 0
    with gzip.open(path) if packed else path.open("rb") as file:
        while chunk := file.read(CHUNK):
            read += len(chunk)
            if limit is not None and read > limit:
                raise DataError(
                    f"unpacks to more than {RATIO} times its size, as no text does: unpack it yourself", path
                )
            yield chunk


@contextmanager
def _told_errors(path: Path) -> Iterator[None]:
    """Turns what reading a file raises into an error that names it."""
    try:
        yield
    except FileNotFoundError:
        raise DataError("there is no such file", path) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"can't be read: {error}", path) from error
    except ValueError as error:  # a NUL in its name, or what isn't Unicode
        raise DataError(f"no file can have this name: {error}", ascii(str(path))) from None


def decode_line(line: bytes, path: str | Path, number: int) -> str:
    """A line's text, without a byte order mark in the first line.

    Raises:
        DataError: it isn't UTF-8.
    """
    line = (line.removeprefix(MARK) if number == 1 else line).removesuffix(b"\r")
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = line[error.start]
        message = f"not UTF-8: byte 0x{byte:02x} at offset {error.start} of the line; convert the file with iconv"
        raise DataError(message, path, number) from None


class AlignedText(SplitCorpus):
    """Two files of equally many lines for each split: folder/train.en and folder/train.de, say; .gz is found too.

    Args:
        folder: where the files are.
        source: the source's language, which is the end of its files' names.
        target: the target's.
        train: the beginning of the training files' names.
        val: the validation files'; not used if `held_out` is above 0.
        test: the test files'.
        held_out: share of the training pairs that is kept for validation, chosen by a hash of the source.
    """

    def __init__(
        self,
        folder: Path,
        source: str,
        target: str,
        train: str = "train",
        val: str = "val",
        test: str = "test",
        held_out: float = 0.0,
    ) -> None:
        super().__init__(held_out)
        self.folder = Path(folder)
        self.source, self.target = source, target
        self.names: dict[Split, str] = {"train": train, "val": val, "test": test}

    def path(self, split: Split, language: str) -> Path:
        """The file of one side of a split.

        Raises:
            DataError: there is none; the message names those that there are.
        """
        path = self.folder / f"{self.names[split]}.{language}"
        packed = path.with_name(path.name + ".gz")
        if path.exists() or packed.exists():
            return path if path.exists() else packed
        there = sorted(each.name for each in self.folder.glob("*.*")) if self.folder.is_dir() else []
        raise DataError(f"there is no such file; the folder has {', '.join(there[:12]) or 'none'}", path)

    def files(self, split: Split) -> tuple[Path, ...]:
        """The files of both sides.

        Raises:
            DataError: see `path`.
        """
        stored = self.stored_in(split)
        return self.path(stored, self.source), self.path(stored, self.target)

    def iterate_split(self, split: Split) -> Iterator[TextPair]:
        """Reads a split as it is stored, pair by pair.

        Raises:
            DataError: a file is missing, empty or not UTF-8, or the two differ in their number of lines.
        """
        source, target = self.path(split, self.source), self.path(split, self.target)
        sources, targets = iterate_lines(source), iterate_lines(target)
        for number, (text, translation) in enumerate(zip_longest(sources, targets)):
            if text is None or translation is None:
                further = number + 1 + sum(1 for _ in (sources if translation is None else targets))
                counts = (further, number) if translation is None else (number, further)
                raise DataError(f"has {counts[0]} lines, but {target} has {counts[1]}: they must be aligned", source)
            yield TextPair(number, text, (translation,))

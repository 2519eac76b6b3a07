"""Reading lines of text from files, without ever losing count of them."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from core.data.corpus import Split, SplitCorpus, TextPair, numbered
from core.errors import DataError

RATIO = 200  # by which text is never packed
SMALL = 1 << 24  # bytes that are unpacked whatever the ratio


def read_bytes(path: Path) -> bytes:
    """The bytes of a file without a byte order mark; one that ends in .gz is unpacked.

    Raises:
        DataError: there is no such file, or it is empty or not readable.
    """
    try:
        data = _unpacked(path) if path.suffix == ".gz" else path.read_bytes()
    except FileNotFoundError:
        raise DataError("there is no such file", path) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"can't be read: {error}", path) from error
    except ValueError as error:  # a NUL in its name, or what isn't Unicode
        raise DataError(f"no file can have this name: {error}", ascii(str(path))) from None
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.strip():
        raise DataError("the file is empty", path)
    return data


def _unpacked(path: Path) -> bytes:
    """Unpacks a file, unless it can't be text: gzip packs a thousand zeros into one byte."""
    limit = max(SMALL, RATIO * path.stat().st_size)
    with gzip.open(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise DataError(f"unpacks to more than {RATIO} times its size, as no text does: unpack it yourself", path)
    return data


def read_lines(path: Path) -> list[str]:
    r"""The lines of a UTF-8 file. Only \n and \r\n end a line: U+2028, U+0085 or a form feed inside it don't.

    Raises:
        DataError: see `read_bytes`; or a line isn't UTF-8.
    """
    lines = read_bytes(path).split(b"\n")
    if not lines[-1]:
        lines.pop()  # what stands after the last line's end
    return [_decode(line.removesuffix(b"\r"), path, number) for number, line in enumerate(lines, start=1)]


def _decode(line: bytes, path: Path, number: int) -> str:
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

    def read_split(self, split: Split) -> list[TextPair]:
        """Reads a split as it is stored.

        Raises:
            DataError: a file is missing, empty or not UTF-8, or the two differ in their number of lines.
        """
        source, target = self.path(split, self.source), self.path(split, self.target)
        sources, targets = read_lines(source), read_lines(target)
        if len(sources) != len(targets):
            raise DataError(f"has {len(sources)} lines, but {target} has {len(targets)}: they must be aligned", source)
        return numbered(sources, targets)

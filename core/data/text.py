"""Reading lines of text from files, without ever losing count of them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from core.data.corpus import Corpus, Split, TextPair, hold_out
from core.errors import DataError


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; one that ends in .gz is unpacked.

    Raises:
        DataError: there is no such file, or it is empty or not readable.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except FileNotFoundError:
        raise DataError("there is no such file", path) from None
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"can't be read: {error}", path) from error
    if not data.strip():
        raise DataError("the file is empty", path)
    return data


def read_lines(path: Path) -> list[str]:
    r"""The lines of a UTF-8 file. Only \n and \r\n end a line: U+2028, U+0085 or a form feed inside it don't.

    Raises:
        DataError: see `read_bytes`; or a line isn't UTF-8.
    """
    lines = read_bytes(path).removeprefix(b"\xef\xbb\xbf").split(b"\n")
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


def existing(path: Path) -> Path:
    """The path itself, or with .gz after it where only that is there."""
    packed = path.with_name(path.name + ".gz")
    return packed if not path.exists() and packed.exists() else path


class AlignedText(Corpus):
    """Two files of equally many lines for each split: folder/train.en and folder/train.de, say; .gz is found too.

    Args:
        folder: where the files are.
        source: the source's language, which is the end of its files' names.
        target: the target's.
        train: the beginning of the training files' names.
        val: the validation files'; ignored if `held_out` is above 0.
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
        self.folder = Path(folder)
        self.languages = (source, target)
        self.names: dict[Split, str] = {"train": train, "val": val, "test": test}
        self.held_out = held_out

    def paths(self, split: Split) -> tuple[Path, Path]:
        """The files of a split: source and target."""
        source, target = (existing(self.folder / f"{self.names[split]}.{language}") for language in self.languages)
        return source, target

    def read(self, split: Split) -> list[TextPair]:
        """Reads one split.

        Raises:
            DataError: a file is missing, empty or not UTF-8, or the two differ in their number of lines.
        """
        if split == "test" or not self.held_out:
            return self._read(split)
        return hold_out(self._read("train"), self.held_out, held_out=split == "val")

    def _read(self, split: Split) -> list[TextPair]:
        source, target = self.paths(split)
        sources, targets = read_lines(source), read_lines(target)
        if len(sources) != len(targets):
            raise DataError(f"has {len(sources)} lines, but {target} has {len(targets)}: they must be aligned", source)
        return numbered(sources, targets)


def numbered(sources: Sequence[str], targets: Sequence[str]) -> list[TextPair]:
    """Makes pairs of aligned texts."""
    return [TextPair(index, *texts) for index, texts in enumerate(zip(sources, ((t,) for t in targets), strict=True))]

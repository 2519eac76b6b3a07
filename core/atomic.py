"""Files that appear under their name when they are whole, or not at all.

Whoever is killed while writing leaves what was there before; so does a disk that is full.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from typing_extensions import Buffer

from core.errors import StorageError

PART = ".part"  # what a file is called until it is whole


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Opens a file that takes its name when the block ends, with all that was written safe on the disk.

    Until then it is called `<name>.part`, in the same folder: only within a file system is a change of names one step.

    Args:
        path: the file; its folder is made if needed.

    Raises:
        StorageError: the disk is full, may not be written, or failed. What was there before is as it was.
    """
    path = Path(path)
    part = path.with_name(path.name + PART)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_names(path.parent)
    except OSError as error:
        raise StorageError(unwritable(path, error)) from error
    finally:
        with suppress(OSError):  # it is gone, unless something went wrong, which is told already
            part.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Writes a text file as UTF-8, whole or not at all.

    Raises:
        StorageError: see `replacing`.
    """
    with replacing(path) as file:
        file.write(text.encode("utf-8"))


def save_whole(content: Any, path: str | Path) -> None:
    """Writes what `torch.save` can write, whole or not at all.

    Raises:
        StorageError: see `replacing`.
    """
    import torch

    with replacing(path) as file:
        sink = _Sink(file)
        torch.save(content, cast(IO[bytes], sink))
        sink.check()


def unwritable(path: Path, error: OSError) -> str:
    """What to tell of a file that can't be written: its path, the reason, and how much room there is."""
    before = "; the file that was there is as it was" if path.exists() else ""
    return f"{path} can't be written: {error.strerror or error}{_room(path)}{before}"


def _room(path: Path) -> str:
    folder = next((each for each in path.absolute().parents if each.is_dir()), Path("/"))
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return ""
    return f" ({usage.free / 2**20:,.1f} MB are free of {usage.total / 2**20:,.1f} MB)"


def _sync_names(folder: Path) -> None:
    """Makes a change of names last through a loss of power."""
    with suppress(OSError):  # some network file systems don't sync folders
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _Sink(io.RawIOBase):
    """Takes what torch writes, and keeps the first error, of which torch's own archive writer would tell nothing."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:
        if self.error is None:
            try:
                self.file.write(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes

    def check(self) -> None:
        """Raises the error that was kept."""
        if self.error is not None:
            raise self.error

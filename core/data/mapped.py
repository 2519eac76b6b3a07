"""Flat arrays in files: written once, piece after piece, and mapped into memory from then on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from core.atomic import replacing, write_text
from core.data.locking import locked

ABOUT = "about.json"
CHUNK = 10_000  # examples that are worked on at once: enough to be fast, little memory

Item = TypeVar("Item")


class ArrayWriter:
    """Arrays that grow at their ends.

    Args:
        files: where each is written, by name.
        dtypes: of their numbers, by name.
    """

    def __init__(self, files: Mapping[str, BinaryIO], dtypes: Mapping[str, DTypeLike]) -> None:
        self.files, self.dtypes = files, dtypes

    def add(self, name: str, values: ArrayLike) -> None:
        """Puts numbers at the end of an array."""
        self.files[name].write(np.ascontiguousarray(values, dtype=self.dtypes[name]).tobytes())

    def add_bytes(self, name: str, values: bytes) -> None:
        """Puts bytes at the end of an array of them."""
        self.files[name].write(values)


def make_arrays(
    folder: Path, dtypes: Mapping[str, DTypeLike], fill: Callable[[ArrayWriter], dict[str, Any]]
) -> dict[str, Any]:
    """Writes the arrays of a cache's entry, unless they are there.

    Processes that want the same entry wait for the first, which writes. What says that the others are whole is written
    last; so whoever is killed before leaves nothing that would be taken for the whole, and arrays whose size isn't the
    one that was written are written anew.

    Args:
        folder: of the entry, made if needed.
        dtypes: of each array, by name.
        fill: writes the arrays, and returns plain data to be kept beside them.

    Returns:
        what `fill` returned, now or then.

    Raises:
        StorageError: the disk is full, or may not be written.
    """
    with locked(folder / "lock"):
        about = _about(folder, dtypes)
        if about is None:
            with ExitStack() as stack:
                files = {name: stack.enter_context(replacing(_path(folder, name))) for name in dtypes}
                about = fill(ArrayWriter(files, dtypes))
            sizes = {name: _path(folder, name).stat().st_size for name in dtypes}
            write_text(folder / ABOUT, json.dumps({"sizes": sizes, "about": about}))
    return about


def about_arrays(folder: Path) -> dict[str, Any]:
    """The plain data that is kept beside the arrays of an entry that was made."""
    about: dict[str, Any] = json.loads((folder / ABOUT).read_text("utf-8"))["about"]
    return about


def mapped(folder: Path, name: str, dtype: DTypeLike) -> NDArray[Any]:
    """An array of an entry that was made: its pages are read when they are looked at, and can be forgotten again."""
    path = _path(folder, name)
    if not path.stat().st_size:  # which can't be mapped
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r").view(np.ndarray)


def chunks(items: Iterable[Item], size: int = CHUNK) -> Iterator[list[Item]]:
    """The same items in lists of so many, of which the last may be shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.bin"


def _about(folder: Path, dtypes: Mapping[str, DTypeLike]) -> dict[str, Any] | None:
    """What is kept beside the arrays; None where they aren't all there as they were written."""
    try:
        content = json.loads((folder / ABOUT).read_text("utf-8"))
        sizes = {name: _path(folder, name).stat().st_size for name in dtypes}
        about: dict[str, Any] = content["about"]
        whole = content["sizes"] == sizes
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return about if whole else None

"""Features of images that a frozen encoder computes once, kept on the disk.

Letters: N images, S cells of the encoder's grid, F features of a cell, B images a batch.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.batch import FrameBatch, ImageBatch
from core.data.locking import locked
from core.errors import ConfigError, DataError
from core.images.read import ImageRef
from core.images.transforms import TransformOptions

LAYOUT = 1  # of the cache's files and keys
DTYPES = {"float16": torch.float16, "float32": torch.float32}
SECONDS = 10.0  # between two lines of progress


@dataclass(frozen=True)
class FeatureOptions:
    """How features are kept.

    Attributes:
        dtype: "float16" halves the disk and the reading; its relative error is below 0.0005, its largest value 65,504.
        batch_size: images that the encoder sees at once.

    Raises:
        ConfigError: an option is out of its range.
    """

    dtype: Literal["float16", "float32"] = "float16"
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(f"data.features.batch_size must be at least 1, got {self.batch_size}")


@dataclass(frozen=True)
class FrozenFeatures:
    """What the datamodule is given of a frozen encoder.

    Attributes:
        extract: from images to features (B, S, F), all S alike, in evaluation mode; it moves the images to its device.
        fingerprint: what identifies the weights, asked for when the first loader is made: a checkpoint's weights are
            there by then.
    """

    extract: Callable[[ImageBatch], FrameBatch]
    fingerprint: Callable[[], str]


class FeatureTable:
    """Rows of features in a file, read as they are needed; each process maps the file for itself.

    Args:
        path: a .npy file of (N, S, F).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: NDArray[np.floating] | None = None

    def __getitem__(self, row: int) -> Tensor:
        """One image's features (S, F) float32."""
        return torch.from_numpy(np.array(self.rows[row])).float()

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def rows(self) -> NDArray[np.floating]:
        """All of them, (N, S, F), mapped."""
        if self._rows is None:
            self._rows = np.load(self.path, mmap_mode="r")
        return self._rows

    def __reduce__(self) -> tuple[type[FeatureTable], tuple[Path]]:
        return FeatureTable, (self.path,)  # numpy would pickle the map with all that it holds


def cached_features(
    images: Sequence[ImageRef],
    batches: Callable[[], Iterable[ImageBatch]],
    frozen: FrozenFeatures,
    transform: TransformOptions,
    options: FeatureOptions,
    cache: Path,
) -> FeatureTable:
    """Takes the features of these images from the cache, or computes them into it.

    The key is of the encoder's weights, the transform, and each file's path, size and time of change. Processes that
    want the same ones wait for the first, which computes. One that is killed leaves nothing that would be taken for
    the whole.

    Args:
        images: N of them.
        batches: makes the N images' tensors, in their order.
        frozen: the encoder.
        transform: how the tensors are made.
        options: how features are kept.
        cache: a directory, made if needed.

    Raises:
        DataError: an image can't be read; the disk is full; a feature is too large for float16.
    """
    folder = cache / "features" / _key(images, frozen.fingerprint(), transform, options)
    path = folder / "features.npy"
    with locked(folder / "lock"):
        if not path.exists():
            _say(f"{len(images):,} images, computed once and kept in {path}")
            _compute(path, batches, frozen, len(images), options)
    return FeatureTable(path)


def _compute(
    path: Path,
    batches: Callable[[], Iterable[ImageBatch]],
    frozen: FrozenFeatures,
    count: int,
    options: FeatureOptions,
) -> None:
    """Writes a file that appears under its name when it is whole."""
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            _write(file, batches(), frozen, count, options)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        mend = "make room, or set data.cache_dir to another disk"
        raise DataError(f"features can't be written: {error.strerror or error}; {mend}", path) from error
    finally:
        part.unlink(missing_ok=True)


def _write(
    file: BinaryIO, batches: Iterable[ImageBatch], frozen: FrozenFeatures, count: int, options: FeatureOptions
) -> None:
    """Writes a .npy file batch after batch: mapping a file that the disk has no room for would kill the process."""
    done, started, told = 0, time.monotonic(), time.monotonic()
    shape: tuple[int, ...] = ()
    for batch in batches:
        rows = _rows(batch, frozen, options)
        if not done:
            shape = rows.shape[1:]
            header = {"descr": np.lib.format.dtype_to_descr(rows.dtype), "fortran_order": False}
            np.lib.format.write_array_header_1_0(file, header | {"shape": (count, *shape)})
        if rows.shape[1:] != shape:
            raise ConfigError(f"the encoder gives features of {shape} and {rows.shape[1:]}: images must be of one size")
        file.write(rows.tobytes())
        done += len(rows)
        if time.monotonic() - told > SECONDS or done == count:
            told = time.monotonic()
            _say(f"{done:,} of {count:,} images, {done / (told - started):.1f} a second")
    assert done == count, "the batches hold all images"


def _say(text: str) -> None:
    print(f"features: {text}", file=sys.stderr, flush=True)


@torch.inference_mode()
def _rows(batch: ImageBatch, frozen: FrozenFeatures, options: FeatureOptions) -> NDArray[np.floating]:
    """The features of a batch, (B, S, F).

    Raises:
        DataError: one isn't finite, or isn't in the type that is kept.
    """
    features = frozen.extract(batch).values
    kept = features.to(DTYPES[options.dtype])
    if not bool(kept.isfinite().all()):
        largest = f"{features.abs().max():g}"
        raise DataError(
            f"features of up to {largest} aren't finite in {options.dtype}: set data.features.dtype: float32"
        )
    rows: NDArray[np.floating] = kept.cpu().numpy()
    return rows


def _key(images: Sequence[ImageRef], fingerprint: str, transform: TransformOptions, options: FeatureOptions) -> str:
    about = [LAYOUT, fingerprint, options.dtype, asdict(transform)]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for image in images:
        digest.update(_identity(image))
    return digest.hexdigest()[:20]


def _identity(image: ImageRef) -> bytes:
    """What tells an image from another one, and from itself after a change."""
    if image.data is not None:
        return hashlib.sha256(image.data).digest()
    assert image.path is not None, "an image has a path or data"
    try:
        state = image.path.stat()
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror}", image.name) from error
    return f"{image.path.resolve()}\0{state.st_size}\0{state.st_mtime_ns}\n".encode("utf-8", "surrogateescape")

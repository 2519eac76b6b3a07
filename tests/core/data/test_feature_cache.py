from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from core.batch import FrameBatch, ImageBatch
from core.data.collate import stack_images
from core.data.feature_cache import FeatureOptions, FeatureTable, FrozenFeatures, cached_features
from core.errors import ConfigError, DataError
from core.images.read import ImageRef, read_image
from core.images.transforms import TransformOptions, to_tensor
from tests.core.images.pictures import write_noise

TRANSFORM = TransformOptions(size=4)


class Encoder:
    """Gives the pixels as features, (B, 16, 3); counts the images, and dies at one of them."""

    def __init__(self, dies_at: int | None = None, scale: float = 1.0) -> None:
        self.seen, self.dies_at, self.scale = 0, dies_at, scale

    def __call__(self, batch: ImageBatch) -> FrameBatch:
        self.seen += len(batch)
        if self.dies_at is not None and self.seen >= self.dies_at:
            raise KeyboardInterrupt
        return FrameBatch(self.scale * batch.values.flatten(2).transpose(1, 2), batch.lengths)


def batches(refs: Sequence[ImageRef], transform: TransformOptions) -> Iterator[ImageBatch]:
    for start in range(0, len(refs), 2):
        yield stack_images([to_tensor(read_image(ref), transform) for ref in refs[start : start + 2]])


def compute(
    refs: Sequence[ImageRef],
    cache: Path,
    encoder: Encoder,
    options: FeatureOptions = FeatureOptions(),  # noqa: B008 (it is frozen)
    transform: TransformOptions = TRANSFORM,
    weights: str = "weights",
) -> FeatureTable:
    frozen = FrozenFeatures(encoder, lambda: weights)
    return cached_features(refs, partial(batches, refs, transform), frozen, transform, options, cache)


@pytest.fixture
def refs(tmp_path: Path) -> list[ImageRef]:
    return [ImageRef(write_noise(tmp_path / f"{row}.png", row)) for row in range(5)]


def test_rows_are_what_the_encoder_gives(tmp_path: Path, refs: list[ImageRef]) -> None:
    exact = compute(refs, tmp_path, Encoder(), FeatureOptions("float32"))
    half = compute(refs, tmp_path, Encoder())
    assert len(exact) == len(half) == 5
    for row, ref in enumerate(refs):
        expected = to_tensor(read_image(ref), TRANSFORM).flatten(1).T
        assert exact[row].equal(expected)
        assert half[row].dtype == torch.float32
        torch.testing.assert_close(half[row], expected, rtol=0.0005, atol=1e-6)
    assert half.path.stat().st_size < exact.path.stat().st_size == 128 + 5 * 16 * 3 * 4


def test_the_same_is_computed_once(tmp_path: Path, refs: list[ImageRef]) -> None:
    first, second = Encoder(), Encoder()
    table = compute(refs, tmp_path, first)
    again = compute(refs, tmp_path, second)
    assert (first.seen, second.seen) == (5, 0)
    assert table.path == again.path
    assert table[3].equal(again[3])


def test_whatever_changes_the_features_is_in_the_key(tmp_path: Path, refs: list[ImageRef]) -> None:
    def path(**changes: object) -> Path:
        options = {"refs": refs, "cache": tmp_path, "encoder": Encoder(), **changes}
        return compute(**options).path  # type: ignore[arg-type]

    paths = [
        path(),
        path(weights="others"),
        path(transform=TransformOptions(size=4, std=(1.0, 1.0, 1.0))),
        path(options=FeatureOptions("float32")),
        path(refs=refs[::-1]),
        path(refs=refs[:4]),
    ]
    size = refs[0].path.stat() if refs[0].path else None
    assert size is not None
    os.utime(tmp_path / "0.png", ns=(size.st_atime_ns, size.st_mtime_ns + 1))
    paths.append(path())
    write_noise(tmp_path / "1.png", 77)
    paths.append(path())
    assert len(set(paths)) == len(paths)
    assert path(options=FeatureOptions(batch_size=3)) == paths[-1]


def test_images_in_memory_are_known_by_their_bytes(tmp_path: Path) -> None:
    data = [write_noise(tmp_path / "a.png", seed).read_bytes() for seed in (1, 2)]
    first = compute([ImageRef(data=each) for each in data], tmp_path, Encoder())
    again = compute([ImageRef(Path("other.png"), each) for each in data], tmp_path, Encoder())
    swapped = compute([ImageRef(data=each) for each in data[::-1]], tmp_path, Encoder())
    assert first.path == again.path != swapped.path
    assert first[0].equal(swapped[1])


def test_a_run_that_is_killed_leaves_nothing_half(tmp_path: Path, refs: list[ImageRef]) -> None:
    with pytest.raises(KeyboardInterrupt):
        compute(refs, tmp_path / "cache", Encoder(dies_at=4))
    (folder,) = (tmp_path / "cache" / "features").iterdir()
    assert [path.name for path in folder.iterdir()] == ["lock"]
    (folder / "features.part").write_bytes(b"what a process leaves that can't clean up")
    encoder = Encoder()
    assert len(compute(refs, tmp_path / "cache", encoder)) == 5
    assert encoder.seen == 5
    assert sorted(path.name for path in folder.iterdir()) == ["features.npy", "lock"]


def test_a_table_is_passed_to_other_processes_by_its_path(tmp_path: Path, refs: list[ImageRef]) -> None:
    table = compute(refs, tmp_path, Encoder())
    row = table[2]
    assert isinstance(table.rows, np.memmap)
    copy = pickle.dumps(table)
    assert len(copy) < 500
    assert pickle.loads(copy)[2].equal(row)


def test_what_is_too_large_for_float16_is_refused(tmp_path: Path, refs: list[ImageRef]) -> None:
    with pytest.raises(DataError, match=r"aren't finite in float16: set data\.features\.dtype: float32"):
        compute(refs, tmp_path, Encoder(scale=1e6))
    assert len(compute(refs, tmp_path, Encoder(scale=1e6), FeatureOptions("float32"))) == 5


def test_images_that_cant_be_read_are_named(tmp_path: Path, refs: list[ImageRef]) -> None:
    with pytest.raises(DataError, match=r"missing\.png: can't be read: No such file"):
        compute([*refs, ImageRef(tmp_path / "missing.png")], tmp_path, Encoder())
    (tmp_path / "4.png").write_text("no image")
    with pytest.raises(DataError, match=r"4\.png: no image that can be read"):
        compute(refs, tmp_path, Encoder())
    assert not list(tmp_path.rglob("features.*"))


def test_a_full_disk_is_told(tmp_path: Path, refs: list[ImageRef], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"No space left on device; make room, or set data\.cache_dir to another disk"):
        compute(refs, tmp_path, Encoder())
    assert not list(tmp_path.rglob("features.*"))


def test_options_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"data\.features\.batch_size must be at least 1, got 0"):
        FeatureOptions(batch_size=0)

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.memory import WAYS, Files, measure, write_pairs
from core.data.corpus import TextPair
from core.data.records import JsonlCorpus


def test_the_pairs_are_those_of_the_seed(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        write_pairs(path, 50, seed)
    first, again, other = (JsonlCorpus(path).read("train") for path in paths)
    assert first == again != other
    for pair in first:
        assert 2 <= len(pair.source.split()) <= 6
        assert pair == TextPair(pair.id, pair.source, (" ".join(reversed(pair.source.split())),))


@pytest.mark.parametrize("way", WAYS)
def test_a_case_reads_batches_in_a_process_of_its_own(tmp_path: Path, way: str) -> None:
    files = Files(tmp_path / "files")
    files.write(400)
    found = measure(files, way, batches=2)
    assert found["cpu"] > 0 < found["seconds"]
    assert found["trainer"] > 50 < found["worker"]
    assert (files.folder / "cache" / "tokens").exists() == way.startswith("cache")
    assert files.megabytes(way) > 0

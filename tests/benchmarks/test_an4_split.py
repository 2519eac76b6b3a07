from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.an4_split import DEV, divide, espnet_id, main
from core.errors import DataError


def manifest(path: Path, names: list[str]) -> Path:
    path.write_text("".join(json.dumps({"audio": f"audio/{name}.flac", "text": "GO"}) + "\n" for name in names))
    return path


def names_in(lines: list[str]) -> list[str]:
    return [Path(json.loads(line)["audio"]).stem for line in lines]


def test_a_recording_is_called_by_its_speaker_first() -> None:
    assert espnet_id("audio/an251-fash-b.flac") == "fash-an251-b"
    with pytest.raises(DataError, match=r"an251-fash-b, got 'a-b\.wav'"):
        espnet_id("a-b.wav")


def test_development_is_the_first_hundred_by_speaker_then_number(tmp_path: Path) -> None:
    late = [f"an{number}-zoe-b" for number in range(100, 130)]
    early = [f"an{number}-abe-b" for number in range(100, 199)]
    # Half of the early speaker's are in the other file: how they were divided before doesn't count.
    train = manifest(tmp_path / "train.jsonl", late + early[:50])
    dev = manifest(tmp_path / "dev.jsonl", early[50:])
    kept, held = divide([train, dev])
    assert names_in(held) == [*early, late[0]]
    assert names_in(kept) == late[1:]


def test_a_manifest_without_recordings_is_named(tmp_path: Path) -> None:
    manifest(tmp_path / "train.jsonl", ["an1-abe-b"])
    (tmp_path / "dev.jsonl").write_text('{"text": "GO"}\n')
    with pytest.raises(SystemExit, match=r"dev\.jsonl"):
        main(["--folder", str(tmp_path), "--output", str(tmp_path / "out")])


def test_too_few_leave_nothing_to_train_on(tmp_path: Path) -> None:
    path = manifest(tmp_path / "train.jsonl", [f"an{number}-abe-b" for number in range(DEV)])
    with pytest.raises(DataError, match="more than those are needed, found 100"):
        divide([path])


def test_both_manifests_are_written(tmp_path: Path) -> None:
    manifest(tmp_path / "train.jsonl", [f"an{number}-abe-b" for number in range(100, 201)])
    manifest(tmp_path / "dev.jsonl", ["an1-aaa-b"])
    main(["--folder", str(tmp_path), "--output", str(tmp_path / "out")])
    written = {name: (tmp_path / "out" / f"{name}.jsonl").read_text().splitlines() for name in ("train", "dev")}
    assert [len(lines) for lines in written.values()] == [2, DEV]
    assert names_in(written["train"]) == ["an199-abe-b", "an200-abe-b"]

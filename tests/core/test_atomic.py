"""A file is whole under its name, whatever happens to who writes it."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from core.atomic import replacing, save_whole, write_text
from core.errors import StorageError


def test_content_arrives_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.txt", "grün")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "grün".encode()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_until_it_is_whole_the_name_stands_for_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_an_error_while_writing_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def fail_on_the_way() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_on_the_way()
    assert [each.name for each in tmp_path.iterdir()] == ["a"]
    assert path.read_text() == "old"


def test_the_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "text")
    (tmp_path / "b").write_text("text")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_what_is_written_is_on_the_disk_before_it_has_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def noted(name: str) -> None:
        true = getattr(os, name)

        def call(*arguments: object) -> None:
            done.append(name)
            true(*arguments)

        monkeypatch.setattr(os, name, call)

    noted("fsync")
    noted("replace")
    write_text(tmp_path / "a", "text")
    assert done == ["fsync", "replace", "fsync"], "the file, then its name, then the folder that holds the name"


def test_killed_while_saving_the_one_before_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    save_whole({"weight": torch.zeros(1000)}, path)
    killed = 0
    for milliseconds in range(0, 40, 2):
        pid = os.fork()
        if not pid:
            while True:
                save_whole({"weight": torch.full((400_000,), 1.0)}, path)
        time.sleep(milliseconds / 1000)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        killed += (tmp_path / "a.ckpt.part").exists()
        weight = torch.load(path, weights_only=True)["weight"]
        assert torch.equal(weight, torch.zeros(1000)) or torch.equal(weight, torch.full((400_000,), 1.0))
    assert killed, "none was killed while saving: this test shows nothing"
    save_whole({"weight": torch.ones(1)}, path)
    assert [each.name for each in tmp_path.iterdir()] == ["a.ckpt"], "what a killed process left is gone"


# A full disk


def test_a_full_disk_leaves_the_one_before_and_says_how_much_room_there_is(small_disk: Path) -> None:
    path = small_disk / "a.ckpt"
    save_whole({"weight": torch.zeros(100)}, path)
    with pytest.raises(StorageError) as caught:
        save_whole({"weight": torch.zeros(1_000_000)}, path)
    told = str(caught.value)
    assert told.startswith(f"{path} can't be written: No space left on device (")
    assert "MB are free of 1.0 MB)" in told
    assert told.endswith("the file that was there is as it was")
    assert [each.name for each in small_disk.iterdir()] == ["a.ckpt"]
    assert torch.equal(torch.load(path, weights_only=True)["weight"], torch.zeros(100))


def test_an_error_of_the_disk_is_told_where_none_can_be_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"a\.txt can't be written: No space left on device \(.* MB are free of"):
        write_text(tmp_path / "a.txt", "text")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file/a can't be written: (Not a directory|File exists)"):
        write_text(tmp_path / "file" / "a", "text")

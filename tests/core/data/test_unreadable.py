"""A file that is damaged or disappears in the middle of a run, and a worker process that dies."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from core.data.audio_datamodule import AudioDataModule
from core.data.collate import Example
from core.data.image_datamodule import ImageDataModule
from core.data.unreadable import Allowance, CheckedExamples
from core.errors import ConfigError, DataError
from core.explain import one_line_for
from tests.core.data.test_audio_datamodule import make
from tests.core.data.test_resume import Recorder, StoppedError, fit

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def lose(folder: Path, *rows: int) -> list[Path]:
    paths = [folder / "train" / f"{row}.wav" for row in rows]
    for path in paths:
        path.unlink()
    return paths


def prepared(folder: Path, *lost: int, **options: Any) -> AudioDataModule:
    """Data whose files were whole when they were checked."""
    data = make(folder, **options)
    data.setup("fit")
    lose(folder, *lost)
    return data


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_file_that_disappears_ends_the_run_with_its_path(tmp_path: Path, num_workers: int) -> None:
    data = prepared(tmp_path, 7, num_workers=num_workers)
    with pytest.raises(DataError) as caught:
        fit(tmp_path, Recorder(), data)  # type: ignore[arg-type]
    told = str(caught.value)
    assert told.startswith(f"{tmp_path / 'train' / '7.wav'}: there is no such file (in the middle of a run; ")
    assert "data.max_unreadable=0" in told
    assert "\n" not in told, "no worker's traceback"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_what_may_be_left_out_is_named_and_counted_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, num_workers: int
) -> None:
    data = prepared(tmp_path, 7, 12, max_unreadable=2, num_workers=num_workers)
    with caplog.at_level(logging.WARNING):
        seen = fit(tmp_path, Recorder(), data).seen  # type: ignore[arg-type]
    told = [message for message in caplog.messages if "left out" in message]
    assert len(told) == 2, "three epochs meet each three times"
    assert told[0].startswith("left out, 1 of 2 that may be: ")
    assert {str(tmp_path / "train" / f"{row}.wav") for row in (7, 12)} == {
        text.partition("be: ")[2].partition(": there")[0] for text in told
    }
    for epoch in range(3):
        ids = sorted(number for of, ids, _ in seen if of == epoch for number in ids)
        assert ids == [number for number in range(24) if number not in (7, 12)]


def test_one_more_than_allowed_ends_the_run(tmp_path: Path) -> None:
    data = prepared(tmp_path, 7, 12, 13, max_unreadable=2)
    with pytest.raises(DataError, match=r"2 were left out before; data\.max_unreadable=2"):
        fit(tmp_path, Recorder(), data)  # type: ignore[arg-type]


def test_a_run_that_goes_on_leaves_out_the_same(tmp_path: Path) -> None:
    options: dict[str, Any] = {"max_unreadable": 3, "batch_seconds": 1.0}
    whole = fit(tmp_path, Recorder(), prepared(tmp_path, 7, 12, 13, **options))  # type: ignore[arg-type]
    checkpoint = ModelCheckpoint(tmp_path / "saved", save_top_k=1, every_n_train_steps=4)
    with pytest.raises(StoppedError):
        fit(tmp_path, Recorder(10), prepared(tmp_path, 7, 12, 13, **options), checkpoint)  # type: ignore[arg-type]
    data = prepared(tmp_path, 7, 12, 13, **options)
    resumed = fit(tmp_path, Recorder(), data, None, Path(checkpoint.best_model_path))  # type: ignore[arg-type]
    assert resumed.seen == whole.seen[8:]
    assert resumed.weight.item() == whole.weight.item()
    assert data.allowance.known == {7, 12, 13}


def test_a_batch_of_nothing_readable_gets_the_next_example(tmp_path: Path) -> None:
    data = prepared(tmp_path, 3, 4)
    examples = CheckedExamples(data.dataset("train"), 0)
    read = examples.collate([examples[3]])
    assert read.batch is not None
    assert read.batch.ids == (5,)
    assert [each.index for each in read.unreadable] == [3]


def test_a_corpus_of_nothing_readable_is_told(tmp_path: Path) -> None:
    data = prepared(tmp_path, *range(24))
    examples = CheckedExamples(data.dataset("train"), 0)
    with pytest.raises(DataError, match=r"3\.wav: there is no such file, nor can any of the 20 examples after it"):
        Allowance(9).take(examples.collate([examples[3]]))


def test_scores_are_of_the_whole_split_or_there_are_none(tmp_path: Path) -> None:
    data = make(tmp_path, max_unreadable=5)
    data.setup("test")
    (tmp_path / "test" / "3.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"test/3\.wav"):
        list(data.test_dataloader())


@pytest.mark.parametrize("kind", [AudioDataModule, ImageDataModule])
def test_the_allowance_can_t_be_negative(kind: Callable[..., object]) -> None:
    with pytest.raises(ConfigError, match=r"data\.max_unreadable must be at least 0, got -1"):
        kind(None, max_unreadable=-1)


def test_a_worker_that_dies_is_told_with_the_file_that_it_was_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepared(tmp_path, num_workers=1)
    dataset = data.dataset("train")
    read = type(dataset).__getitem__

    def die(self: object, index: int) -> Example:
        if index == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(dataset, index)

    monkeypatch.setattr(type(dataset), "__getitem__", die)
    with pytest.raises(DataError) as caught, one_line_for(data.explain):
        fit(tmp_path, Recorder(), data)  # type: ignore[arg-type]
    told = str(caught.value)
    assert told.startswith("a process that makes batches (data.num_workers) ")
    assert f" at work on {tmp_path / 'train' / '9.wav'}. " in told
    assert torch.utils.data.get_worker_info() is None


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    data = make(tmp_path)
    with pytest.raises(RuntimeError, match="size mismatch"), one_line_for(data.explain):
        raise RuntimeError("size mismatch")

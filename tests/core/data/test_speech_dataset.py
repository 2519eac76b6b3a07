from __future__ import annotations

import sys
from pathlib import Path

import pytest

from core.audio.clip import AudioClip
from core.audio.read import probe
from core.data.speech import Utterance
from core.data.speech_dataset import DatasetSpeech
from core.data.speech_manifests import TableSpeech
from core.errors import DataError
from tests.core.data.speech import write_noise


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def save(folder: Path, audio: list[object], **columns: list[object]) -> str:
    from datasets import Audio, Dataset, DatasetDict

    dataset = Dataset.from_dict({"audio": audio, "text": [f"t{row}" for row in range(len(audio))], **columns})
    if isinstance(audio[0], dict):
        dataset = dataset.cast_column("audio", Audio())
    DatasetDict(train=dataset).save_to_disk(folder)
    return str(folder)


def test_sound_that_is_stored_within(tmp_path: Path) -> None:
    data = write_noise(tmp_path / "1.flac", 0.5).read_bytes()
    path = save(tmp_path / "saved", [{"bytes": data, "path": "1.flac"}, {"bytes": data, "path": None}])
    first, second = DatasetSpeech(path).read("train")
    assert first == Utterance(0, AudioClip(Path("1.flac"), data), "t0", "1.flac")
    assert second == Utterance(1, AudioClip(data=data), "t1", "1")
    assert [probe(each.audio).frames for each in (first, second)] == [8000, 8000]


def test_paths_and_bytes_and_other_fields(tmp_path: Path) -> None:
    path = save(tmp_path / "saved", ["a/1.wav"], who=["mia"], duration=[2.0], offset=[0.5], other=[1])
    name = str(tmp_path / "saved/a/1.wav")
    assert DatasetSpeech(path, speaker_column="who").read("train") == [
        Utterance(0, AudioClip(Path(name), offset=0.5, duration=2.0), "t0", f"{name}@0.5", "mia", 2.0)
    ]
    path = save(tmp_path / "bytes", [b"RIFF"])
    assert DatasetSpeech(path).read("train") == [Utterance(0, AudioClip(data=b"RIFF"), "t0", "0")]


def test_sound_in_parquet(tmp_path: Path) -> None:
    from datasets import Audio, Dataset

    data = write_noise(tmp_path / "1.flac", 0.5).read_bytes()
    rows = {"audio": [{"bytes": data, "path": "1.flac"}], "text": ["ONE"], "speaker": ["mia"]}
    (tmp_path / "d").mkdir()
    Dataset.from_dict(rows).cast_column("audio", Audio()).to_parquet(tmp_path / "d" / "train.parquet")
    corpus = DatasetSpeech(str(tmp_path / "d"))
    assert corpus.read("train") == [Utterance(0, AudioClip(Path("1.flac"), data), "ONE", "1.flac", "mia")]


def test_a_folder_of_sound_without_torchcodec_says_what_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    monkeypatch.setitem(sys.modules, "torchcodec.encoders", None)
    write_noise(tmp_path / "folder" / "train" / "1.wav")
    (tmp_path / "folder" / "train" / "metadata.csv").write_text("file_name,text,speaker\n1.wav,ONE,mia\n")
    with pytest.raises(DataError, match=r"please install 'torchcodec'.*TableSpeech reads a metadata\.csv") as caught:
        DatasetSpeech(str(tmp_path / "folder")).read("train")
    assert "\n" not in str(caught.value)
    (read,) = TableSpeech(tmp_path / "folder" / "train" / "metadata.csv", audio_column="file_name").read("train")
    assert (read.text, read.speaker, read.audio) == ("ONE", "mia", AudioClip(tmp_path / "folder" / "train" / "1.wav"))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "saved", ["1.wav", ""])
    with pytest.raises(DataError, match=r"saved \(train\): there is no column 'txt'; did you mean 'text'\?"):
        DatasetSpeech(path, text_column="txt").read("train")
    with pytest.raises(DataError, match=r"there is no column 'who'; It has 'audio', 'text'"):
        DatasetSpeech(path, speaker_column="who").read("train")
    with pytest.raises(DataError, match=r"saved \(train\):2: 'audio' must be sound .* got str"):
        DatasetSpeech(path).read("train")
    with pytest.raises(DataError, match=r"saved \(validation\): datasets can't load it"):
        DatasetSpeech(path).read("val")

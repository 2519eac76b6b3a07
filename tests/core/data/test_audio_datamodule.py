from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser

from core.audio.clip import AudioClip
from core.audio.least import least_samples
from core.audio.read import read_audio
from core.batch import AudioBatch
from core.data.audio_datamodule import AudioDataModule
from core.data.corpus import Split
from core.data.speech import SpeechCorpus, Utterance
from core.errors import ConfigError, DataError
from core.tokenization import save_tokenizer
from tests.contracts.datamodule import DataModuleContract
from tests.core.data.speech import write_noise

WORDS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE")
RATE = 8000


class Noises(SpeechCorpus):
    """Noise of all lengths, and a word or two of each; remembers what was read."""

    def __init__(self, folder: Path, train: int = 24) -> None:
        self.folder = folder
        self.counts: dict[Split, int] = {"train": train, "val": 6, "test": 5}
        self.read_splits: list[Split] = []

    def read(self, split: Split) -> list[Utterance]:
        self.read_splits.append(split)
        found = []
        for row in range(self.counts[split]):
            path = write_noise(self.folder / split / f"{row}.wav", 0.2 + 0.1 * (row % 9), RATE)
            text = " ".join(WORDS[row % 6] for row in range(row, row + 1 + row % 3))
            found.append(Utterance(row, AudioClip(path), text, path.name, speaker="mia" if row % 2 else ""))
        return found


def make(folder: Path, corpus: SpeechCorpus | None = None, **options: object) -> AudioDataModule:
    defaults: dict[str, object] = {"sample_rate": RATE, "batch_seconds": 3.0, "cache_dir": folder / "cache"}
    return AudioDataModule(corpus or Noises(folder), **(defaults | options))  # type: ignore[arg-type]


class TestSounds(DataModuleContract):
    @pytest.fixture
    def data(self, tmp_path: Path) -> AudioDataModule:
        return make(tmp_path)

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_sources_are_sounds_padded_with_silence(self, data: AudioDataModule, split: str) -> None:
        for batch in self.batches(data, split):
            assert isinstance(batch.source, AudioBatch)
            assert batch.source.values.dtype == torch.float32
            assert batch.source.values.shape == (len(batch), int(batch.source.lengths.max()))
            for row, length in zip(batch.source.values, batch.source.lengths.tolist(), strict=True):
                assert row[:length].any()
                assert not row[length:].any()

    def test_the_budget_of_seconds_holds(self, data: AudioDataModule) -> None:
        for batch in self.batches(data, "train"):
            assert batch.source.values.numel() <= 3.0 * RATE


class TestResampled(DataModuleContract):
    @pytest.fixture
    def data(self, tmp_path: Path) -> AudioDataModule:
        return make(tmp_path, sample_rate=16000)


class TestWorkers(DataModuleContract):
    @pytest.fixture
    def data(self, tmp_path: Path) -> AudioDataModule:
        return make(tmp_path, num_workers=1)


def test_a_source_is_the_sound_of_its_id(tmp_path: Path) -> None:
    data = make(tmp_path, sample_rate=16000)
    data.setup("test")
    for batch in data.test_dataloader():
        for row, index in enumerate(batch.ids):
            utterance = data.utterances("test")[index]
            samples = read_audio(utterance.audio, 16000)
            assert int(batch.source.lengths[row]) == max(len(samples), least_samples(16000))
            assert batch.source.values[row, : len(samples)].equal(samples)
            assert batch.references[row] == (utterance.text,)
            assert batch.source_texts[row] == utterance.name == f"{index}.wav"


def test_the_source_size_is_the_rate(tmp_path: Path) -> None:
    assert make(tmp_path, sample_rate=44100).source_size == 44100


def test_only_the_splits_of_a_stage_are_read(tmp_path: Path) -> None:
    first = make(tmp_path)
    save_tokenizer(first.target_tokenizer, tmp_path / "mine.json")
    for stage, expected in (("test", ["test"]), ("validate", ["val"]), ("predict", []), ("fit", ["train", "val"])):
        corpus = Noises(tmp_path)
        data = make(tmp_path, corpus, tokenizers=tmp_path / "mine.json")
        data.prepare_data()
        data.setup(stage)
        data.setup(stage)
        assert corpus.read_splits == expected


class Spoilt(Noises):
    """With one file that is no sound, and two that are longer and shorter than the others."""

    def read(self, split: Split) -> list[Utterance]:
        utterances = super().read(split)
        (self.folder / split / "1.wav").write_text("no sound")
        write_noise(self.folder / split / "2.wav", 5.0, RATE)
        write_noise(self.folder / split / "3.wav", 0.01, RATE)
        return utterances


def test_bad_files_are_refused_or_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(DataError, match=r"1 can't be read \(.*1\.wav"):
        make(tmp_path, Spoilt(tmp_path)).setup("fit")
    data = make(tmp_path, Spoilt(tmp_path), on_bad_example="skip", max_seconds=2.0, min_seconds=0.1)
    logging.getLogger("lightning.pytorch").propagate = True
    with caplog.at_level(logging.INFO):
        data.setup("fit")
    assert set(data.dataset("train").ids) == set(range(24)) - {1, 2, 3}
    assert set(data.dataset("val").ids) == set(range(6)) - {1}
    assert "24 utterances, 21 of them usable" in caplog.text
    assert "1 can't be read, left out" in caplog.text


def test_sounds_too_short_for_any_encoder_are_made_longer(tmp_path: Path) -> None:
    data = make(tmp_path, Spoilt(tmp_path), on_bad_example="skip")
    data.setup("test")
    (length,) = [
        int(length)
        for batch in data.test_dataloader()
        for index, length in zip(batch.ids, batch.source.lengths, strict=True)
        if index == 3
    ]
    assert length == least_samples(RATE) > 0.01 * RATE


def test_a_split_without_a_usable_utterance_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train split has no utterance that can be used"):
        make(tmp_path, max_seconds=0.15).setup("fit")


def test_speakers_are_known_where_the_corpus_tells(tmp_path: Path) -> None:
    assert make(tmp_path).speakers("test") == {1: "mia", 3: "mia"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_seconds": 0.0}, r"data\.batch_seconds must be above 0, got 0\.0 and None"),
        ({"eval_batch_seconds": -1.0}, r"data\.batch_seconds must be above 0, got 3\.0 and -1\.0"),
        ({"sample_rate": 0}, r"data\.sample_rate must be above 0 Hz, got 0"),
        ({"min_seconds": 2.0, "max_seconds": 1.0}, r"data\.min_seconds must be .* got 2\.0 and 1\.0"),
    ],
)
def test_options_out_of_range(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(tmp_path, **options)  # type: ignore[arg-type]


def test_evaluation_may_have_larger_batches(tmp_path: Path) -> None:
    data = make(tmp_path, eval_batch_seconds=100.0)
    data.setup("fit")
    assert len(data.val_dataloader()) == 1 < len(data.sampler("train"))


@pytest.mark.parametrize("name", ["JsonlSpeech", "TableSpeech", "FolderSpeech", "KaldiSpeech", "DatasetSpeech"])
def test_readers_are_chosen_by_their_class_name(name: str) -> None:
    from core.data import speech_dataset, speech_folder, speech_kaldi, speech_manifests

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(AudioDataModule, "data")
    modules = (speech_manifests, speech_folder, speech_kaldi, speech_dataset)
    path = next(f"{module.__name__}.{name}" for module in modules if hasattr(module, name))
    own = {"DatasetSpeech": {"path": "x"}}
    parsed = parser.parse_object({"data": {"corpus": {"class_path": path, "init_args": own.get(name, {})}}})
    assert type(parser.instantiate(parsed).data.corpus).__name__ == name

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser

from core.batch import FrameBatch, ImageBatch, Seq2SeqBatch
from core.data.corpus import Split
from core.data.feature_cache import FeatureOptions, FrozenFeatures
from core.data.image_datamodule import ImageDataModule
from core.data.images import CaptionedImage, ImageCorpus
from core.data.loader import ResumableLoader
from core.errors import ConfigError, DataError
from core.images.read import ImageRef, read_image
from core.images.transforms import AugmentOptions, TransformOptions, to_tensor
from core.tokenization import TokenizerOptions, save_tokenizer
from tests.contracts.datamodule import DataModuleContract
from tests.core.images.pictures import write_noise

TRANSFORM = TransformOptions(size=6)
WORDS = ("dog", "cat", "bird")


class Pictures(ImageCorpus):
    """Noise, each with one to three captions."""

    def __init__(self, folder: Path, name: str = "{split}/{row}.png") -> None:
        self.folder, self.name = folder, name
        self.read_splits: list[Split] = []

    def read(self, split: Split) -> list[CaptionedImage]:
        self.read_splits.append(split)
        found = []
        for row in range({"train": 9, "val": 4, "test": 3}[split]):
            name = self.name.format(split=split, row=row)
            path = self.folder / name
            if not path.exists():
                write_noise(path, row)
            captions = tuple(f"a {word} and a {WORDS[row % 3]}" for word in WORDS[: row % 3 + 1])
            found.append(CaptionedImage(row, ImageRef(path), captions, name))
        return found


def make(folder: Path, corpus: ImageCorpus | None = None, **options: object) -> ImageDataModule:
    defaults: dict[str, object] = {
        "tokenizer": TokenizerOptions(kind="words", min_frequency=1),
        "transform": TRANSFORM,
        "batch_size": 5,
        "cache_dir": folder / "cache",
    }
    return ImageDataModule(corpus or Pictures(folder), **(defaults | options))  # type: ignore[arg-type]


def cells(batch: ImageBatch) -> FrameBatch:
    """The pixels of an image as its features, (B, 36, 3)."""
    return FrameBatch(batch.values.flatten(2).transpose(1, 2), batch.lengths)


def frozen() -> FrozenFeatures:
    return FrozenFeatures(cells, lambda: "weights")


class TestPixels(DataModuleContract):
    @pytest.fixture
    def data(self, tmp_path: Path) -> ImageDataModule:
        return make(tmp_path)

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_sources_are_images_of_one_size(self, data: ImageDataModule, split: str) -> None:
        for batch in self.batches(data, split):
            assert isinstance(batch.source, ImageBatch)
            assert batch.source.values.shape == (len(batch), 3, 6, 6)
            assert batch.source.lengths.tolist() == [36] * len(batch)
            assert len(batch) <= 5


class TestAugmented(DataModuleContract):
    @pytest.fixture
    def data(self, tmp_path: Path) -> ImageDataModule:
        return make(tmp_path, augment=AugmentOptions(0.5, 0.5, 0.2), num_workers=1)


class TestFeatures(DataModuleContract):
    @pytest.fixture
    def data(self, tmp_path: Path) -> ImageDataModule:
        data = make(tmp_path, features=FeatureOptions())
        data.use_features(frozen())
        return data

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_sources_are_features(self, data: ImageDataModule, split: str) -> None:
        for batch in self.batches(data, split):
            assert isinstance(batch.source, FrameBatch)
            assert batch.source.values.dtype == torch.float32
            assert batch.source.values.shape == (len(batch), 36, 3)


def batches(data: ImageDataModule, epoch: int = 0) -> list[Seq2SeqBatch]:
    data.setup("fit")
    loader = data.train_dataloader()
    assert isinstance(loader, ResumableLoader)
    loader.batch_sampler.set_epoch(epoch)
    return list(loader)


def sources(data: ImageDataModule, epoch: int = 0) -> dict[int, torch.Tensor]:
    return {i: row for batch in batches(data, epoch) for i, row in zip(batch.ids, batch.source.values, strict=True)}


def test_in_training_each_caption_is_an_example_and_the_others_are_references(tmp_path: Path) -> None:
    data = make(tmp_path)
    images = {image.name: image for image in data.images("train")}
    learnt = []
    for batch in batches(data):
        for name, references, pixels in zip(batch.source_texts, batch.references, batch.source.values, strict=True):
            assert sorted(references) == sorted(images[name].captions)
            assert pixels.equal(to_tensor(read_image(images[name].image), TRANSFORM))
            learnt.append((name, references[0]))
    assert sorted(learnt) == sorted((name, text) for name, image in images.items() for text in image.captions)


def test_in_evaluation_each_image_is_an_example(tmp_path: Path) -> None:
    data = make(tmp_path, eval_batch_size=10)
    data.setup("fit")
    (batch,) = list(data.val_dataloader())
    images = data.images("val")
    assert sorted(batch.ids) == [0, 1, 2, 3]
    for index, references in zip(batch.ids, batch.references, strict=True):
        assert references == images[index].captions


def test_only_the_splits_of_a_stage_are_read(tmp_path: Path) -> None:
    save_tokenizer(make(tmp_path).target_tokenizer, tmp_path / "mine.json")
    for stage, expected in (("test", ["test"]), ("validate", ["val"]), ("predict", []), ("fit", ["train", "val"])):
        corpus = Pictures(tmp_path)
        data = make(tmp_path, corpus, tokenizers=tmp_path / "mine.json")
        data.prepare_data()
        data.setup(stage)
        data.setup(stage)
        assert corpus.read_splits == expected


def test_long_captions_arent_trained_on_and_stay_whole_as_references(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Long(Pictures):
        def read(self, split: Split) -> list[CaptionedImage]:
            first, *others = super().read(split)
            return [CaptionedImage(0, first.image, ("a dog and a cat and a bird", "a dog"), first.name), *others]

    data = make(tmp_path, Long(tmp_path), max_target_length=5, eval_batch_size=10)
    found = batches(data)
    assert sum(len(batch) for batch in found) == 3 * (1 + 2 + 3)
    assert "1 captions are left out: longer than data.max_target_length=5 tokens" in caplog.text
    (batch,) = list(data.val_dataloader())
    row = batch.ids.index(0)
    assert batch.references[row] == ("a dog and a cat and a bird", "a dog")
    assert batch.target is not None
    assert int(batch.target.lengths[row]) == 6


# Augmentation


def test_variants_follow_from_seed_epoch_and_example(tmp_path: Path) -> None:
    changes = AugmentOptions(least_area=0.3, brightness=0.5)
    first, again, other = (sources(make(tmp_path, augment=changes), epoch) for epoch in (1, 1, 2))
    assert first.keys() == again.keys() == other.keys()
    assert all(first[i].equal(again[i]) for i in first)
    assert not any(first[i].equal(other[i]) for i in first)
    seeded = sources(make(tmp_path, seed=2, augment=changes), 1)
    assert not any(first[i].equal(seeded[i]) for i in first)


def test_evaluation_and_prediction_see_the_images_as_they_are(tmp_path: Path) -> None:
    data = make(tmp_path, augment=AugmentOptions(least_area=0.3, brightness=0.5), eval_batch_size=10)
    data.setup("fit")
    (batch,) = list(data.val_dataloader())
    for index, pixels in zip(batch.ids, batch.source.values, strict=True):
        assert pixels.equal(to_tensor(read_image(data.image("val", index)), TRANSFORM))
    (read,) = list(data.loader_of([data.image("val", 0)]))
    assert read.batch is not None
    assert read.batch.source.values[0].equal(batch.source.values[batch.ids.index(0)])


# Features


def test_features_are_those_of_each_examples_image(tmp_path: Path) -> None:
    pixels = sources(make(tmp_path))
    data = make(tmp_path, features=FeatureOptions(dtype="float32", batch_size=2))
    data.use_features(frozen())
    features = sources(data)
    assert features.keys() == pixels.keys()
    for index, rows in features.items():
        assert rows.equal(pixels[index].flatten(1).T)


def test_features_are_computed_once(tmp_path: Path) -> None:
    calls = []

    def counted(batch: ImageBatch) -> FrameBatch:
        calls.append(len(batch))
        return cells(batch)

    for _ in range(2):
        data = make(tmp_path, features=FeatureOptions(batch_size=4))
        data.use_features(FrozenFeatures(counted, lambda: "weights"))
        batches(data)
        batches(data, 1)
        assert calls == [4, 4, 1]


def test_features_need_an_encoder_that_is_frozen(tmp_path: Path) -> None:
    data = make(tmp_path, features=FeatureOptions())
    data.setup("fit")
    with pytest.raises(ConfigError, match=r"model\.encoder isn't one: set data\.features to null, or .* freeze: true"):
        data.train_dataloader()


def test_features_and_augmentation_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"data\.augment changes the images in each epoch: set data\.features to null"
    ):
        make(tmp_path, features=FeatureOptions(), augment=AugmentOptions(flip=0.5))


def test_an_encoder_that_isnt_asked_for_changes_nothing(tmp_path: Path) -> None:
    data = make(tmp_path)
    data.use_features(frozen())
    assert all(isinstance(batch.source, ImageBatch) for batch in batches(data))


# Prediction, pictures and scores


def test_a_bad_image_is_reported_and_the_others_are_read(tmp_path: Path) -> None:
    good = [ImageRef(write_noise(tmp_path / f"{row}.png", row)) for row in range(3)]
    missing = ImageRef(tmp_path / "missing.png")
    data = make(tmp_path, eval_batch_size=2, num_workers=1)
    first, second, third = list(data.loader_of([good[0], missing, missing, missing, good[1]]))
    assert first.batch is not None
    assert (first.batch.ids, list(first.problems)) == ((0,), [1])
    assert first.batch.source_texts == (str(tmp_path / "0.png"),)
    assert first.batch.target is None
    assert second.batch is None
    assert [str(each) for each in second.problems.values()] == [f"{missing.path}: there is no such file"] * 2
    assert third.batch is not None
    assert (third.batch.ids, dict(third.problems)) == ((4,), {})


def test_images_are_found_by_their_numbers(tmp_path: Path) -> None:
    data = make(tmp_path)
    assert data.image_path("val", 2) == tmp_path / "val/2.png"
    assert data.image("test", 1) == ImageRef(tmp_path / "test/1.png")
    assert data.source_size == 3


def test_training_captions_without_empty_ones(tmp_path: Path) -> None:
    class Mute(Pictures):
        def read(self, split: Split) -> list[CaptionedImage]:
            first, second, third, *_ = super().read(split)
            return [
                CaptionedImage(0, first.image, (" ",), first.name),
                CaptionedImage(1, second.image, ("a dog", ""), second.name),
                third,
            ]

    data = make(tmp_path, Mute(tmp_path))
    assert data.training_captions() == [("a dog",), data.images("train")[2].captions]


# What is refused or told


def test_bad_files_are_refused_or_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Spoilt(Pictures):
        def read(self, split: Split) -> list[CaptionedImage]:
            images = super().read(split)
            (self.folder / split / "1.png").write_text("no image")
            return images

    with pytest.raises(DataError, match=r"1 can't be read \(.*1\.png: no image"):
        make(tmp_path, Spoilt(tmp_path)).setup("fit")
    data = make(tmp_path, Spoilt(tmp_path), on_bad_example="skip")
    logging.getLogger("lightning.pytorch").propagate = True
    with caplog.at_level(logging.INFO):
        data.setup("fit")
    assert set(data.dataset("val").ids) == {0, 2, 3}
    assert "train: 9 images, 8 of them usable, with 16 captions" in caplog.text


def test_images_of_the_training_split_are_counted_in_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    make(tmp_path, Pictures(tmp_path, "{row}.png")).setup("fit")
    assert "val: 4 of 4 images are also in the training data" in caplog.text


def test_a_split_without_a_usable_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train split has no image with a caption that can be used"):
        make(tmp_path, max_target_length=1).setup("fit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, r"data\.batch_size must be at least 1, got 0"),
        ({"eval_batch_size": 0}, r"data\.eval_batch_size must be at least 1, got 0"),
        ({"max_target_length": 0}, r"data\.max_target_length must be at least 1, got 0"),
        ({"max_pixels": 0}, r"data\.max_pixels must be in \[1, .* got 0"),
    ],
)
def test_options_out_of_range(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(tmp_path, **options)  # type: ignore[arg-type]


def test_options_in_yaml() -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ImageDataModule, "data")
    config = {
        "corpus": {
            "class_path": "core.data.images_jsonl.JsonlImages",
            "init_args": {"train": "a.jsonl"},
        },
        "transform": {"size": 96, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
        "augment": {"brightness": 0.1},
        "features": None,
    }
    data = parser.instantiate(parser.parse_object({"data": config})).data
    assert data.pixels.transform == TransformOptions(96, "squash", (0.5,) * 3, (0.5,) * 3)
    config |= {"features": {"dtype": "float32"}, "augment": {}}
    data = parser.instantiate(parser.parse_object({"data": config})).data
    assert data.features == FeatureOptions("float32")

"""The datamodule of images: their pixels or a frozen encoder's features, and the tokens of their captions."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path

from torch.utils.data import DataLoader

from core.batch import ImageBatch
from core.data.check_images import ImageReport, OnBadExample, check_images, image_table
from core.data.collate import Example
from core.data.corpus import Split
from core.data.datamodule import Seq2SeqDataModule
from core.data.feature_cache import FeatureOptions, FrozenFeatures, cached_features
from core.data.image_dataset import Caption, ImageDataset, PixelDataset, Pixels, ReadImages, list_captions
from core.data.images import CaptionedImage, ImageCorpus
from core.data.loader import ResumableLoader
from core.data.stream_loader import StreamLoader
from core.data.unreadable import Allowance
from core.data.vocabularies import Vocabularies, cached_vocabularies, default_cache, read_vocabularies
from core.errors import ConfigError, DataError
from core.images.read import MAX_PIXELS, ImageRef, check_max_pixels
from core.images.transforms import AugmentOptions, TransformOptions
from core.tokenization import TokenizerOptions

_log = logging.getLogger(__name__)

CHANNELS = 3


class ImageDataModule(Seq2SeqDataModule):
    """Batches of images and captions. All files' headers are looked at before training begins.

    In training each caption is an example; in evaluation each image is. The references are all captions of the image,
    in training first the one that is learnt.

    Args:
        corpus: where the images come from.
        tokenizer: how to train the tokenizer of the captions, unless `tokenizers` gives it.
        tokenizers: a directory with a trained one (target.json), its JSON file, or one of our checkpoints.
        transform: how an image becomes a tensor.
        augment: how training images are changed, anew each epoch.
        features: keep what a frozen encoder makes of the images, so that an epoch costs the decoder alone; None
            gives the encoder pixels. The module hands its encoder over (`use_features`).
        batch_size: examples of a training batch on one rank.
        eval_batch_size: images of a batch in validation, test and prediction; None for `batch_size`.
        max_target_length: the most tokens of a caption, end token not counted. Longer captions aren't trained on; in
            evaluation they are truncated for the loss, and stay whole as references.
        on_bad_example: what to do with images that can't be read or have no caption: "raise" refuses to begin, and
            names them; "skip" leaves them out, counts them, and names the first.
        max_unreadable: how many of them may become unreadable while training goes on (a damaged part behind a header, a
            file that disappears): they are left out of their batches, and named; one more ends the run.
        check_pixels: decode all images before training begins: only so is all damage found beforehand.
        max_pixels: larger images aren't read: they would fill the memory.
        num_workers: processes that read and make batches; 0 for none beside the trainer's own.
        seed: of the order of the training batches, and of what `augment` draws.
        cache_dir: where trained tokenizers and features are kept; None for $POLYSEQ_CACHE or ~/.cache/polyseq.

    Raises:
        ConfigError: an option is out of its range; features are kept, but the images change each epoch.
    """

    budget_options = ("batch_size", "eval_batch_size")

    def __init__(
        self,
        corpus: ImageCorpus,
        tokenizer: TokenizerOptions = TokenizerOptions(kind="words"),  # noqa: B008 (it is frozen)
        tokenizers: Path | None = None,
        transform: TransformOptions = TransformOptions(),  # noqa: B008 (it is frozen)
        augment: AugmentOptions = AugmentOptions(),  # noqa: B008 (it is frozen)
        features: FeatureOptions | None = None,
        batch_size: int = 64,
        eval_batch_size: int | None = None,
        max_target_length: int = 50,
        on_bad_example: OnBadExample = "raise",
        max_unreadable: int = 0,
        check_pixels: bool = False,
        max_pixels: int = MAX_PIXELS,
        num_workers: int = 0,
        seed: int = 1,
        cache_dir: Path | None = None,
    ) -> None:
        for name, value in (("batch_size", batch_size), ("eval_batch_size", eval_batch_size)):
            if value is not None and value < 1:
                raise ConfigError(f"data.{name} must be at least 1, got {value}")
        if max_target_length < 1:
            raise ConfigError(f"data.max_target_length must be at least 1, got {max_target_length}")
        if features is not None and augment.changes:
            raise ConfigError(
                "data.features keeps one set of features for each image, but data.augment changes the images in each "
                "epoch: set data.features to null, or leave data.augment out"
            )
        check_max_pixels(max_pixels)
        super().__init__(batch_size, eval_batch_size or batch_size, "source", num_workers, seed, tokenizers)
        self.allowance = Allowance(max_unreadable)
        self.corpus = corpus
        self.tokenizer_options = tokenizer
        self.pixels = Pixels(transform, augment, max_pixels, seed)
        self.features = features
        self.max_target_length = max_target_length
        self.on_bad_example: OnBadExample = on_bad_example
        self.check_pixels = check_pixels
        self.cache_dir = cache_dir or default_cache()
        self.reports: dict[Split, ImageReport] = {}
        self._images: dict[Split, list[CaptionedImage]] = {}
        self._frozen: FrozenFeatures | None = None

    @cached_property
    def vocabularies(self) -> Vocabularies:
        """The tokenizer of the captions: read from `tokenizers`, or from the cache, or trained."""
        if self.tokenizers_path is not None:
            return read_vocabularies(Path(self.tokenizers_path))
        texts = [text for captions in self.training_captions() for text in captions]
        return cached_vocabularies(None, texts, self.tokenizer_options, self.cache_dir)

    @property
    def source_size(self) -> int:
        """The number of channels: the first argument of what sees."""
        return CHANNELS

    def images(self, split: Split) -> list[CaptionedImage]:
        """All images of a split, read once.

        Raises:
            DataError: the corpus is missing or can't be used.
        """
        if split not in self._images:
            self._images[split] = self.corpus.read(split)
        return self._images[split]

    def image_path(self, split: Split, number: int) -> Path | None:
        """Where the image of an evaluation example is, by the example's id; None for one in memory."""
        return self.image(split, number).path

    def image(self, split: Split, number: int) -> ImageRef:
        """The image of an evaluation example, by the example's id."""
        return next(image.image for image in self.images(split) if image.id == number)

    def training_captions(self) -> list[tuple[str, ...]]:
        """The captions of each training image: what novelty and CIDEr's document frequencies are counted from."""
        written = [tuple(text for text in image.captions if text.strip()) for image in self.images("train")]
        return [captions for captions in written if captions]

    def make_dataset(self, split: Split) -> ImageDataset:
        """Checks the images of a split and cuts its captions into tokens."""
        kept, report = check_images(self.images(split), self.on_bad_example, self.check_pixels, self.pixels.max_pixels)
        training = split == "train"
        captions = list_captions(kept, self.target_tokenizer, self.max_target_length, training)
        if not captions:
            raise DataError(f"the {split} split has no image with a caption that can be used\n{report}")
        self.reports[split] = report
        self._warn(split, kept, captions)
        pixels = self.pixels if training else self.pixels.without_augmentation()
        return ImageDataset(kept, captions, self.target_tokenizer, pixels)

    def _warn(self, split: Split, kept: Sequence[CaptionedImage], captions: Sequence[Caption]) -> None:
        missing = sum(len(image.captions) for image in kept) - len(captions)
        if split == "train":
            if missing:
                _log.warning(
                    "train: %d captions are left out: longer than data.max_target_length=%d tokens, or without one",
                    missing, self.max_target_length,
                )  # fmt: skip
        elif "train" in self._images:
            known = {image.name for image in self.images("train")}
            seen = sum(image.name in known for image in kept)
            if seen:
                _log.warning("%s: %d of %d images are also in the training data", split, seen, len(kept))

    def describe(self, splits: Sequence[Split]) -> str:
        """What was counted in these splits."""
        return image_table({split: self.reports[split] for split in splits})

    # Features

    def use_features(self, frozen: FrozenFeatures) -> None:
        """Takes a frozen encoder, whose features are then computed when a loader is first asked for."""
        self._frozen = frozen

    def train_dataloader(self) -> ResumableLoader | StreamLoader:
        """Shuffled batches; in a run that was resumed in mid-epoch, those that it hadn't seen."""
        self._fill("train")
        return super().train_dataloader()

    def _evaluation(self, split: Split) -> DataLoader[Example]:
        self._fill(split)
        return super()._evaluation(split)

    def _fill(self, split: Split) -> None:
        """Gives a dataset its features, if they are wanted.

        Raises:
            ConfigError: they are, and no encoder was handed over.
        """
        dataset = self.dataset(split)
        assert isinstance(dataset, ImageDataset)
        if self.features is None or dataset.features is not None:
            return
        if self._frozen is None:
            raise ConfigError(
                "data.features keeps what a frozen encoder makes of the images, but model.encoder isn't one: set "
                "data.features to null, or take a pretrained encoder with freeze: true"
            )
        refs = [image.image for image in dataset.images]
        batches = partial(self._pixel_batches, refs, self.features.batch_size)
        dataset.features = cached_features(
            refs, batches, self._frozen, self.pixels.transform, self.features, self.cache_dir
        )

    def _pixel_batches(self, images: Sequence[ImageRef], batch_size: int) -> Iterator[ImageBatch]:
        for read in self._reader(images, batch_size):
            for problem in read.problems.values():
                raise problem
            assert read.batch is not None
            assert isinstance(read.batch.source, ImageBatch)
            yield read.batch.source

    # Prediction

    def loader_of(self, images: Sequence[ImageRef]) -> DataLoader[ReadImages]:
        """Batches of pixels for prediction, in the images' order, and what can't be read: reported, never raised."""
        return self._reader(images, self.eval_batch_budget)

    def _reader(self, images: Sequence[ImageRef], batch_size: int) -> DataLoader[ReadImages]:
        dataset = PixelDataset(images, self.pixels.without_augmentation())
        return DataLoader(
            dataset,  # type: ignore[arg-type]  # what it holds isn't collated yet
            batch_size=batch_size,
            collate_fn=dataset.collate,
            num_workers=self.num_workers,
        )

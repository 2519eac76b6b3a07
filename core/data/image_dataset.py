"""Examples of images: pixels or features, and the tokens of captions.

Letters: N images, M examples, S cells of the encoder's grid, F features of a cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from core.batch import Seq2SeqBatch
from core.data.collate import Example, collate, pad_frames, stack_images
from core.data.dataset import ExampleDataset, Integers
from core.data.encode import TokenTable
from core.data.feature_cache import FeatureTable
from core.data.images import CaptionedImage
from core.errors import DataError
from core.images.read import ImageRef, read_image
from core.images.transforms import AugmentOptions, TransformOptions, augmented, to_tensor
from core.tokenization import TrainedTokenizer


@dataclass(frozen=True)
class Pixels:
    """How an image becomes a tensor.

    Attributes:
        transform: its size and normalisation.
        augment: how it is changed.
        max_pixels: larger images aren't read.
        seed: of what is drawn.
    """

    transform: TransformOptions
    augment: AugmentOptions
    max_pixels: int
    seed: int

    def without_augmentation(self) -> Pixels:
        """The same for evaluation."""
        return replace(self, augment=AugmentOptions())

    def read(self, image: ImageRef, epoch: int = 0, index: int = 0) -> Tensor:
        """Reads an image as (3, H, W): a pure function of the image, the seed, the epoch and the example's index.

        Raises:
            DataError: it can't be read.
        """
        read = read_image(image, self.max_pixels)
        if not self.augment.changes:
            return to_tensor(read, self.transform)
        return augmented(read, self.transform, self.augment, np.random.default_rng((self.seed, epoch, index)))


@dataclass(frozen=True)
class Caption:
    """One example: which image (its row), which of its captions, and the tokens of that without the end token."""

    image: int
    number: int
    tokens: tuple[int, ...]


def list_captions(
    images: Sequence[CaptionedImage], tokenizer: TrainedTokenizer, max_length: int, training: bool
) -> list[Caption]:
    """Cuts captions into tokens.

    Args:
        images: N of them.
        tokenizer: of the captions.
        max_length: the most tokens, end token not counted.
        training: every caption, unless it is longer or has no token; else the first of each image, truncated.
    """
    chosen = [
        (row, number, text)
        for row, image in enumerate(images)
        for number, text in enumerate(image.captions if training else image.captions[:1])
    ]
    tokens = tokenizer.encode_batch([text for *_, text in chosen])
    return [
        Caption(row, number, tuple(ids[:max_length]))
        for (row, number, _), ids in zip(chosen, tokens, strict=True)
        if not training or 0 < len(ids) <= max_length
    ]


class ImageDataset(ExampleDataset):
    """Captions of one split's images, M of them.

    Args:
        images: N of them.
        captions: of those.
        tokenizer: of the captions.
        pixels: how images become tensors.

    Attributes:
        features: of the N images, which are given in place of their pixels; None for pixels.
    """

    def __init__(
        self, images: Sequence[CaptionedImage], captions: Sequence[Caption], tokenizer: TrainedTokenizer, pixels: Pixels
    ) -> None:
        eos, self.pad = tokenizer.specials.eos, tokenizer.specials.pad
        self.images, self.pixels = images, pixels
        self.features: FeatureTable | None = None
        self.rows = np.array([caption.image for caption in captions], dtype=np.int64)  # (M,)
        self.numbers = np.array([caption.number for caption in captions], dtype=np.int64)  # (M,)
        self.targets = TokenTable([[*caption.tokens, eos] for caption in captions])
        self.each_once = len(set(self.rows.tolist())) == len(captions)

    @property
    def source_lengths(self) -> Integers:
        """One for each: the budget counts images."""
        return np.ones(len(self.rows), dtype=np.int64)

    @property
    def target_lengths(self) -> Integers:
        """In tokens."""
        return self.targets.lengths

    @property
    def ids(self) -> list[int]:
        """The images' numbers in evaluation; in training, where an image comes with each caption, the examples' own."""
        return [self.images[row].id for row in self.rows] if self.each_once else list(range(len(self.rows)))

    def name(self, index: int) -> str:
        """The image's file."""
        return self.images[int(self.rows[index])].image.name

    def collate(self, examples: Sequence[Example]) -> Seq2SeqBatch:
        """Makes a batch of examples."""
        return collate(examples, stack_images if self.features is None else pad_frames, self.pad)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        """Reads one image, or its features (S, F).

        Raises:
            DataError: its file is missing or damaged, or has changed since it was checked.
        """
        row, number = int(self.rows[index]), int(self.numbers[index])
        image = self.images[row]
        source = self.pixels.read(image.image, self.epoch, index) if self.features is None else self.features[row]
        learnt, others = image.captions[number], image.captions[:number] + image.captions[number + 1 :]
        target = self.targets.tensor(index, self.epoch)
        number_of_example = image.id if self.each_once else index
        return Example(number_of_example, source, target, image.name, (learnt, *others))


@dataclass(frozen=True)
class ReadImages:
    """Some images of a list, read.

    Attributes:
        batch: those that could be; its ids are their places in the list, from 0. None if none could.
        problems: why the others couldn't, by their places.
    """

    batch: Seq2SeqBatch | None
    problems: Mapping[int, DataError]


class PixelDataset(Dataset[Example | tuple[int, DataError]]):
    """Images without captions.

    Args:
        images: where they are.
        pixels: how they become tensors.
    """

    def __init__(self, images: Sequence[ImageRef], pixels: Pixels) -> None:
        self.images, self.pixels = images, pixels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Example | tuple[int, DataError]:
        """Reads one image, or says why it can't be."""
        image = self.images[index]
        try:
            return Example(index, self.pixels.read(image), None, image.name)
        except DataError as error:
            return index, error

    def collate(self, found: Sequence[Example | tuple[int, DataError]]) -> ReadImages:
        """Makes a batch of what could be read."""
        examples = [each for each in found if isinstance(each, Example)]
        problems = dict(each for each in found if not isinstance(each, Example))
        return ReadImages(collate(examples, stack_images, pad=0) if examples else None, problems)

"""What an image corpus is: images, each with its captions, read by split."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.data.corpus import Split
from core.errors import ConfigError
from core.images.read import ImageRef


@dataclass(frozen=True)
class CaptionedImage:
    """One example of an image corpus.

    Attributes:
        id: its number in its split, from 0 in the order of the file.
        image: where it is.
        captions: the raw texts, all of equal worth.
        name: what the corpus calls it: its path as it stands there.
    """

    id: int
    image: ImageRef
    captions: tuple[str, ...]
    name: str


class ImageCorpus(ABC):
    """A source of images with captions. Choose one in YAML by its class name: `data.corpus: JsonlImages`."""

    @abstractmethod
    def read(self, split: Split) -> list[CaptionedImage]:
        """Reads one split, whole, in the order of its file; ids count from 0. No image is in it twice.

        The images themselves aren't looked at.

        Raises:
            DataError: the corpus is missing or can't be used; with file and line.
        """


class SplitImages(ImageCorpus):
    """A corpus whose validation split may be cut out of its training split.

    Args:
        held_out: share of the training images that is kept for validation (`hold_out_images`); 0 reads a split of its
            own.

    Raises:
        ConfigError: the share is out of its range.
    """

    def __init__(self, held_out: float = 0.0) -> None:
        if not 0 <= held_out < 1:
            raise ConfigError(f"data.corpus.held_out must be in [0, 1), got {held_out}")
        self.held_out = held_out

    @abstractmethod
    def read_split(self, split: Split) -> list[CaptionedImage]:
        """Reads a split as it is stored."""

    def read(self, split: Split) -> list[CaptionedImage]:
        """Reads one split, whole, in the order of its file."""
        if split == "test" or not self.held_out:
            return self.read_split(split)
        return hold_out_images(self.read_split("train"), self.held_out, held_out=split == "val")


def hold_out_images(images: Sequence[CaptionedImage], share: float, held_out: bool) -> list[CaptionedImage]:
    """Divides a training split into training and validation images, always in the same way, by a hash of the names.

    Args:
        images: all of the training split's.
        share: how much of them is held out, between 0 and 1.
        held_out: return those that are held out (for validation) instead of the others.
    """

    def chosen(name: str) -> bool:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") < share * 2**64

    return [image for image in images if chosen(image.name) == held_out]


def gather_captions(captions: Iterable[tuple[str, tuple[str, ...]]], folder: Path) -> list[CaptionedImage]:
    """Makes one example of each image, numbered in the order of first mention.

    Args:
        captions: an image's name, and what is said of it; an image may come again with further captions.
        folder: where relative names start.
    """
    by_name: dict[str, tuple[str, ...]] = {}
    for name, texts in captions:
        by_name[name] = (*by_name.get(name, ()), *texts)
    return [
        CaptionedImage(row, ImageRef(folder / name), texts, name) for row, (name, texts) in enumerate(by_name.items())
    ]

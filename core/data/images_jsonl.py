"""Image corpora in lists: JSON lines, and the token files of Flickr8k and Flickr30k."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.data.corpus import Split, split_path
from core.data.images import CaptionedImage, SplitImages, gather_captions
from core.data.records import field_of, parse, text_of, texts_of
from core.data.text import read_lines
from core.errors import DataError


class JsonlImages(SplitImages):
    """One JSON object a line: an image's path and its captions. Lines with the same image are put together.

    Args:
        train: the training file; .gz is unpacked.
        val: the validation file; None where there is none, or `held_out` makes it.
        test: the test file.
        image_column: the field with the image's path; a dot goes into nested objects.
        caption_column: the field with its captions, a list, or one text.
        image_folder: where relative paths start; None for the file's folder.
        held_out: share of the training images that is kept for validation, chosen by a hash of the path.
    """

    def __init__(
        self,
        train: Path | None = None,
        val: Path | None = None,
        test: Path | None = None,
        image_column: str = "image",
        caption_column: str = "captions",
        image_folder: Path | None = None,
        held_out: float = 0.0,
    ) -> None:
        super().__init__(held_out)
        self.paths: dict[Split, Path | None] = {"train": train, "val": val, "test": test}
        self.image_column, self.caption_column = image_column, caption_column
        self.image_folder = image_folder

    def read_split(self, split: Split) -> list[CaptionedImage]:
        """Reads a split as it is stored.

        Raises:
            ConfigError: the split has no file.
            DataError: the file is missing, empty or not UTF-8; a line isn't JSON, or lacks a field.
        """
        path = Path(split_path(self.paths, split))
        return gather_captions(self._lines(path), path.parent if self.image_folder is None else Path(self.image_folder))

    def _lines(self, path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
        image, caption = self.image_column, self.caption_column
        for line, text in enumerate(read_lines(path), start=1):
            if text.strip():
                record = parse(text, path, line)
                name = text_of(field_of(record, image, path, line), image, path, line)
                if not name:
                    raise DataError(f"{image!r} is empty: a path is needed", path, line)
                yield name, texts_of(field_of(record, caption, path, line), caption, path, line)


class FlickrImages(SplitImages):
    """Flickr8k's and Flickr30k's own files: one of captions, and for each split a list of its images.

    A line of captions is `NAME.jpg#0`, a tab, and the text; a line of a list is `NAME.jpg`.

    Args:
        captions: Flickr8k.token.txt, Flickr8k.lemma.token.txt or results_20130124.token.
        folder: where the images are.
        train: the list of the training images, Flickr_8k.trainImages.txt, say.
        val: the list of the validation images; None where there is none, or `held_out` makes it.
        test: the list of the test images.
        held_out: share of the training images that is kept for validation, chosen by a hash of the name.
    """

    def __init__(
        self,
        captions: Path,
        folder: Path,
        train: Path | None = None,
        val: Path | None = None,
        test: Path | None = None,
        held_out: float = 0.0,
    ) -> None:
        super().__init__(held_out)
        self.captions, self.folder = captions, folder
        self.paths: dict[Split, Path | None] = {"train": train, "val": val, "test": test}

    def read_split(self, split: Split) -> list[CaptionedImage]:
        """Reads a split as it is stored.

        Raises:
            ConfigError: the split has no list.
            DataError: a file is missing, empty or not UTF-8; a line of captions isn't one; an image has no caption.
        """
        path = Path(split_path(self.paths, split))
        captions = self._captions()
        wanted = {}
        for line, text in enumerate(read_lines(path), start=1):
            name = text.strip()
            if name and name not in captions:
                raise DataError(f"{name} has no caption in {self.captions}", path, line)
            if name:
                wanted[name] = captions[name]
        return gather_captions(wanted.items(), Path(self.folder))

    def _captions(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for line, text in enumerate(read_lines(Path(self.captions)), start=1):
            key, tab, caption = text.partition("\t")
            name, hash_sign, number = key.rpartition("#")
            if not text.strip():
                continue
            if not (tab and hash_sign and number.isdigit()):
                raise DataError(
                    f"a line must be NAME.jpg#0, a tab and a caption, got {text[:60]!r}", self.captions, line
                )
            found[name] = (*found.get(name, ()), caption)
        return found

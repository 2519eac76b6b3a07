"""Image corpora in one JSON document: Karpathy's dataset.json, and COCO's captions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from core.data.corpus import Split, split_path
from core.data.images import CaptionedImage, ImageCorpus, SplitImages, gather_captions
from core.data.records import field_of, text_of
from core.data.text import read_bytes
from core.errors import DataError

Record = Mapping[str, object]


class KarpathyImages(ImageCorpus):
    """The splits of Karpathy and Li 2015: a dataset.json for each of Flickr8k, Flickr30k and COCO.

    Args:
        dataset: the dataset.json; .gz is unpacked.
        folder: where the images are; an image's "filepath" (COCO's train2014, val2014) is a folder in it.
        restval: train on "restval" too, COCO's validation images that are in no other split.
    """

    def __init__(self, dataset: Path, folder: Path, restval: bool = True) -> None:
        self.dataset, self.folder = dataset, folder
        self.names: dict[Split, tuple[str, ...]] = {
            "train": ("train", "restval") if restval else ("train",),
            "val": ("val",),
            "test": ("test",),
        }

    def read(self, split: Split) -> list[CaptionedImage]:
        """Reads one split, whole, in the order of the file.

        Raises:
            DataError: the file is missing or isn't JSON; a field is missing; no image is of this split.
        """
        path = Path(self.dataset)
        captions = []
        for place, image in records(read_document(path), "images", path):
            if text_of(field_of(image, "split", place), "split", place) in self.names[split]:
                captions.append((_name(image, place), _raw_sentences(image, place)))
        if not captions:
            raise DataError(f"has no image of the split {' or '.join(self.names[split])}", path)
        return gather_captions(captions, Path(self.folder))


def _name(image: Record, place: str) -> str:
    name = text_of(field_of(image, "filename", place), "filename", place)
    folder = text_of(image.get("filepath") or "", "filepath", place)
    return f"{folder}/{name}" if folder else name


def _raw_sentences(image: Record, place: str) -> tuple[str, ...]:
    found = records(image, "sentences", place)
    return tuple(text_of(field_of(sentence, "raw", where), "raw", where) for where, sentence in found)


class CocoImages(SplitImages):
    """COCO's own captions: captions_train2017.json and its like, one for each split.

    Args:
        train: the training annotations; .gz is unpacked.
        val: the validation annotations; None where there are none, or `held_out` makes them.
        test: the test annotations.
        train_folder: where the training images are; None for the annotations' folder. Likewise the following.
        val_folder: the validation images.
        test_folder: the test images.
        held_out: share of the training images that is kept for validation, chosen by a hash of the name.
    """

    def __init__(
        self,
        train: Path | None = None,
        val: Path | None = None,
        test: Path | None = None,
        train_folder: Path | None = None,
        val_folder: Path | None = None,
        test_folder: Path | None = None,
        held_out: float = 0.0,
    ) -> None:
        super().__init__(held_out)
        self.paths: dict[Split, Path | None] = {"train": train, "val": val, "test": test}
        self.folders: dict[Split, Path | None] = {"train": train_folder, "val": val_folder, "test": test_folder}

    def read_split(self, split: Split) -> list[CaptionedImage]:
        """Reads a split as it is stored; images without a caption aren't examples.

        Raises:
            ConfigError: the split has no file.
            DataError: the file is missing or isn't JSON; a field is missing, or a caption's image is.
        """
        path = Path(split_path(self.paths, split))
        document = read_document(path)
        names: dict[object, str] = {}
        for place, image in records(document, "images", path):
            names[_id(image, "id", place)] = text_of(field_of(image, "file_name", place), "file_name", place)
        captions: dict[str, list[str]] = {name: [] for name in names.values()}
        for place, annotation in records(document, "annotations", path):
            image_id = _id(annotation, "image_id", place)
            if image_id not in names:
                raise DataError(f"there is no image with the id {image_id!r}", place)
            caption = field_of(annotation, "caption", place)
            captions[names[image_id]].append(text_of(caption, "caption", place))
        folder = self.folders[split]
        found = [(name, tuple(texts)) for name, texts in captions.items() if texts]
        return gather_captions(found, path.parent if folder is None else Path(folder))


def _id(record: Record, field: str, place: str) -> int | str:
    value = field_of(record, field, place)
    if not isinstance(value, int | str):
        raise DataError(f"{field!r} must be a number or text, got {type(value).__name__}", place)
    return value


def read_document(path: Path) -> Record:
    """Reads a file that is one JSON object.

    Raises:
        DataError: the file is missing, empty or something else; with the line where JSON ends to be JSON.
    """
    try:
        document = json.loads(read_bytes(path))
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg}, at column {error.colno}", path, error.lineno) from None
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: {error.reason} at byte {error.start}", path) from None
    except ValueError as error:
        raise DataError(f"not JSON that can be read: {error}", path) from None
    except RecursionError:
        raise DataError("JSON that is nested too deep", path) from None
    if not isinstance(document, dict):
        raise DataError(f"must be one JSON object, got {type(document).__name__}", path)
    return document


def records(parent: Record, field: str, place: str | Path) -> list[tuple[str, Record]]:
    """The objects of a list in an object, each with its place for messages.

    Raises:
        DataError: there is no such list, or something in it isn't an object.
    """
    value = field_of(parent, field, place)
    if not isinstance(value, list):
        raise DataError(f"{field!r} must be a list, got {type(value).__name__}", place)
    found: list[tuple[str, Record]] = []
    for number, each in enumerate(value):
        where = f"{place}: {field}[{number}]"
        if not isinstance(each, dict):
            raise DataError(f"must be a JSON object, got {type(each).__name__}", where)
        found.append((where, each))
    return found

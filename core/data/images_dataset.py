"""Image corpora that the `datasets` package can load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from core.data.corpus import Split
from core.data.images import CaptionedImage, SplitImages
from core.data.records import field_of, load_split, texts_of, top_column
from core.errors import DataError
from core.images.read import ImageRef


class DatasetImages(SplitImages):
    """A folder of images with a metadata.jsonl, of Parquet, CSV or JSON, a saved dataset, or a hub id.

    The images are read by us and not by `datasets`. Those that are stored within the dataset are kept in memory,
    encoded as they are. Each row is an image of its own.

    Args:
        path: a local path, or an id on the hub.
        name: the configuration, where the dataset has several.
        train: the name of the training split.
        val: the name of the validation split; not used if `held_out` is above 0.
        test: the name of the test split.
        image_column: the column with the image: of type Image, or paths (relative ones start at the dataset's folder).
        caption_columns: the columns with its captions; each has one text, or a list of them.
        held_out: share of the training images that is kept for validation, chosen by a hash of the name.
    """

    def __init__(
        self,
        path: str,
        name: str | None = None,
        train: str = "train",
        val: str = "validation",
        test: str = "test",
        image_column: str = "image",
        caption_columns: Sequence[str] = ("captions",),
        held_out: float = 0.0,
    ) -> None:
        super().__init__(held_out)
        self.path, self.name = path, name
        self.names: dict[Split, str] = {"train": train, "val": val, "test": test}
        self.image_column, self.caption_columns = image_column, tuple(caption_columns)

    def read_split(self, split: Split) -> list[CaptionedImage]:
        """Reads a split as it is stored.

        Raises:
            DataError: the dataset, the split or a column can't be found; for want of a network, say.
        """
        from datasets import Image

        place = f"{self.path} ({self.names[split]})"
        dataset = load_split(self.path, self.name, self.names[split], place)
        columns = (self.image_column, *self.caption_columns)
        dataset = dataset.select_columns(sorted({top_column(each, dataset.column_names, place) for each in columns}))
        for column, feature in dataset.features.items():
            if isinstance(feature, Image):
                dataset = dataset.cast_column(column, Image(decode=False))
        return [self._image(row, record, place) for row, record in enumerate(dataset)]

    def _image(self, row: int, record: Mapping[str, object], place: str) -> CaptionedImage:
        ref = self._ref(field_of(record, self.image_column, place, row + 1), place, row + 1)
        captions = tuple(
            text
            for column in self.caption_columns
            for text in texts_of(field_of(record, column, place, row + 1), column, place, row + 1)
        )
        return CaptionedImage(row, ref, captions, str(row) if ref.path is None else str(ref.path))

    def _ref(self, value: object, place: str, line: int) -> ImageRef:
        data, path = (value.get("bytes"), value.get("path")) if isinstance(value, Mapping) else (None, value)
        if isinstance(value, bytes):
            return ImageRef(data=value)
        if isinstance(data, bytes):
            return ImageRef(Path(path) if isinstance(path, str) else None, data)
        if isinstance(path, str) and path:
            return ImageRef(self._folder() / path)
        message = f"{self.image_column!r} must be an image (datasets.Image), a path or the bytes of a file"
        raise DataError(f"{message}, got {type(value).__name__}", place, line)

    def _folder(self) -> Path:
        path = Path(self.path)
        return path if path.is_dir() else path.parent if path.is_file() else Path()

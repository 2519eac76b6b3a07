from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.images import CaptionedImage, hold_out_images
from core.data.images_dataset import DatasetImages
from core.data.images_json import CocoImages, KarpathyImages
from core.data.images_jsonl import FlickrImages, JsonlImages
from core.errors import ConfigError, DataError
from core.images.read import ImageRef, read_image
from tests.core.images.pictures import write_noise


def written(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


def captioned(row: int, folder: Path, name: str, *captions: str) -> CaptionedImage:
    return CaptionedImage(row, ImageRef(folder / name), captions, name)


# JSON lines


def test_jsonl_with_lists_and_single_captions(tmp_path: Path) -> None:
    path = written(
        tmp_path / "train.jsonl",
        {"image": "a/1.jpg", "captions": ["one", "two"]},
        {"image": "2.jpg", "captions": "three"},
        {"image": "a/1.jpg", "captions": ["four"]},
    )
    assert JsonlImages(path).read("train") == [
        captioned(0, tmp_path, "a/1.jpg", "one", "two", "four"),
        captioned(1, tmp_path, "2.jpg", "three"),
    ]


def test_jsonl_with_other_columns_and_another_folder(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", {"file": {"name": "1.jpg"}, "text": "one"})
    corpus = JsonlImages(test=path, image_column="file.name", caption_column="text", image_folder=tmp_path / "images")
    assert corpus.read("test") == [captioned(0, tmp_path / "images", "1.jpg", "one")]
    with pytest.raises(ConfigError, match=r"no val split: set data\.corpus\.val, or data\.corpus\.held_out"):
        corpus.read("val")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"image": "1.jpg", "caption": "one"}, r"there is no column 'captions'; did you mean 'caption'\?"),
        ({"image": 1, "captions": "one"}, "'image' must be text, got int"),
        ({"image": "", "captions": "one"}, "'image' is empty: a path is needed"),
        ({"image": "1.jpg", "captions": []}, "'captions' is an empty list"),
        ({"image": "1.jpg", "captions": ["one", None]}, "'captions' must be text, got NoneType"),
        ([], "a line must be a JSON object, got list"),
    ],
)
def test_jsonl_errors_have_file_and_line(tmp_path: Path, record: object, message: str) -> None:
    path = written(tmp_path / "a.jsonl", {"image": "1.jpg", "captions": "one"}, record)
    with pytest.raises(DataError, match=rf"a\.jsonl:2: .*{message}"):
        JsonlImages(path).read("train")


def test_held_out_images_are_in_no_other_split(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", *({"image": f"{row}.jpg", "captions": "one"} for row in range(200)))
    corpus = JsonlImages(path, held_out=0.2)
    train, val = (corpus.read(split) for split in ("train", "val"))
    assert sorted(image.id for image in train + val) == list(range(200))
    assert 20 <= len(val) <= 60
    assert val == hold_out_images(JsonlImages(path).read("train"), 0.2, held_out=True)
    with pytest.raises(ConfigError, match=r"data\.corpus\.held_out must be in \[0, 1\), got 1"):
        JsonlImages(path, held_out=1)


# Flickr's token files


def flickr(folder: Path, captions: str, images: str) -> FlickrImages:
    (folder / "token.txt").write_text(captions)
    (folder / "list.txt").write_text(images)
    return FlickrImages(folder / "token.txt", folder / "images", train=folder / "list.txt")


def test_flickr(tmp_path: Path) -> None:
    corpus = flickr(
        tmp_path, "a.jpg#0\tOne .\nb.jpg#0\tTwo\nb.jpg#1\tThree # 3\nc.jpg.1#0\tFour\n", "b.jpg\na.jpg \n\n"
    )
    assert corpus.read("train") == [
        captioned(0, tmp_path / "images", "b.jpg", "Two", "Three # 3"),
        captioned(1, tmp_path / "images", "a.jpg", "One ."),
    ]


@pytest.mark.parametrize("line", ["b.jpg#0 Two", "b.jpg\tTwo", "b.jpg#x\tTwo"])
def test_lines_that_are_no_captions(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match=r"token\.txt:2: a line must be NAME\.jpg#0, a tab and a caption, got 'b\.jpg"):
        flickr(tmp_path, f"a.jpg#0\tOne\n{line}\n", "a.jpg\n").read("train")


def test_a_listed_image_needs_a_caption(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"list\.txt:2: b\.jpg has no caption in .*token\.txt"):
        flickr(tmp_path, "a.jpg#0\tOne\n", "a.jpg\nb.jpg\n").read("train")


# Karpathy's splits


def karpathy(split: str, name: str, *captions: str, folder: str | None = None) -> dict[str, object]:
    image: dict[str, object] = {"split": split, "filename": name, "sentences": [{"raw": each} for each in captions]}
    return image if folder is None else {**image, "filepath": folder}


def test_karpathy(tmp_path: Path) -> None:
    images = [
        karpathy("train", "1.jpg", "one", "two", folder="train2014"),
        karpathy("test", "2.jpg", "three"),
        karpathy("restval", "3.jpg", "four", folder="val2014"),
    ]
    path = tmp_path / "dataset.json.gz"
    path.write_bytes(gzip.compress(json.dumps({"images": images, "dataset": "coco"}).encode()))
    first = captioned(0, tmp_path, "train2014/1.jpg", "one", "two")
    assert KarpathyImages(path, tmp_path).read("train") == [first, captioned(1, tmp_path, "val2014/3.jpg", "four")]
    assert KarpathyImages(path, tmp_path, restval=False).read("train") == [first]
    assert KarpathyImages(path, tmp_path).read("test") == [captioned(0, tmp_path, "2.jpg", "three")]
    with pytest.raises(DataError, match="has no image of the split val"):
        KarpathyImages(path, tmp_path).read("val")


# COCO


def coco(path: Path, images: object, annotations: object) -> CocoImages:
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return CocoImages(val=path, val_folder=path.parent / "val2017")


def test_coco(tmp_path: Path) -> None:
    images = [{"id": 7, "file_name": "7.jpg"}, {"id": 5, "file_name": "5.jpg"}, {"id": 6, "file_name": "6.jpg"}]
    captions = [
        {"image_id": 5, "caption": "one"},
        {"image_id": 7, "caption": "two"},
        {"image_id": 5, "caption": "three"},
    ]
    corpus = coco(tmp_path / "captions.json", images, captions)
    folder = tmp_path / "val2017"
    assert corpus.read("val") == [captioned(0, folder, "7.jpg", "two"), captioned(1, folder, "5.jpg", "one", "three")]


ONE = [{"id": 1, "file_name": "1.jpg"}]


@pytest.mark.parametrize(
    ("images", "annotations", "message"),
    [
        ([{"id": 1}], [], r"images\[0\]: there is no column 'file_name'"),
        ([7], [], r"images\[0\]: must be a JSON object, got int"),
        ({}, [], "'images' must be a list, got dict"),
        (ONE, [{"image_id": 2, "caption": "a"}], r"annotations\[0\]: there is no image with the id 2"),
        (ONE, [{"image_id": 1, "caption": 3}], r"annotations\[0\]: 'caption' must be text"),
    ],
)
def test_coco_errors_have_file_and_place(tmp_path: Path, images: object, annotations: object, message: str) -> None:
    with pytest.raises(DataError, match=rf"captions\.json: {message}"):
        coco(tmp_path / "captions.json", images, annotations).read("val")


@pytest.mark.parametrize("make", [lambda path: CocoImages(path), lambda path: KarpathyImages(path, path.parent)])
def test_documents_that_cant_be_read(tmp_path: Path, make: Callable[[Path], CocoImages | KarpathyImages]) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(DataError, match=r"a\.json: there is no such file"):
        make(path).read("train")
    for text, message in (('{"images":\n[1,}', "a.json:2: not JSON: "), ("[]", "must be one JSON object, got list")):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            make(path).read("train")
    path.write_bytes(b'{"a": "\xff"}')
    with pytest.raises(DataError, match="not UTF-8: "):
        make(path).read("train")


# Datasets


@pytest.fixture
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def save(folder: Path, **columns: list[object]) -> str:
    from datasets import Dataset, DatasetDict, Image

    dataset = Dataset.from_dict(columns)
    if isinstance(columns["image"][0], dict):
        dataset = dataset.cast_column("image", Image())
    DatasetDict(train=dataset).save_to_disk(folder)
    return str(folder)


@pytest.mark.usefixtures("_offline")
def test_images_that_are_stored_within(tmp_path: Path) -> None:
    data = write_noise(tmp_path / "1.png").read_bytes()
    stored: list[object] = [{"bytes": data, "path": "1.png"}, {"bytes": data, "path": None}]
    path = save(tmp_path / "saved", image=stored, captions=[["one", "two"], ["three"]])
    first, second = DatasetImages(path).read("train")
    assert first == CaptionedImage(0, ImageRef(Path("1.png"), data), ("one", "two"), "1.png")
    assert second == CaptionedImage(1, ImageRef(data=data), ("three",), "1")
    assert read_image(second.image).size == (12, 8)


@pytest.mark.usefixtures("_offline")
def test_paths_bytes_and_several_columns_of_captions(tmp_path: Path) -> None:
    path = save(tmp_path / "saved", image=["a/1.png"], caption_0=["one"], caption_1=[["two", "three"]])
    (image,) = DatasetImages(path, caption_columns=["caption_1", "caption_0"]).read("train")
    assert image.image == ImageRef(tmp_path / "saved/a/1.png")
    assert image.captions == ("two", "three", "one")
    path = save(tmp_path / "bytes", image=[b"PNG"], captions=["one"])
    assert DatasetImages(path).read("train") == [CaptionedImage(0, ImageRef(data=b"PNG"), ("one",), "0")]


@pytest.mark.usefixtures("_offline")
def test_a_folder_of_images_with_metadata(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    path = write_noise(folder / "train" / "1.png")
    written(folder / "train" / "metadata.jsonl", {"file_name": "1.png", "text": "one"})
    (image,) = DatasetImages(str(folder), caption_columns=["text"]).read("train")
    assert (image.image.path, image.captions) == (path, ("one",))


@pytest.mark.usefixtures("_offline")
def test_datasets_that_cant_be_used(tmp_path: Path) -> None:
    path = save(tmp_path / "saved", image=[1], captions=["one"])
    with pytest.raises(DataError, match=r"\(train\):1: 'image' must be an image .* got int"):
        DatasetImages(path).read("train")
    with pytest.raises(DataError, match="there is no column 'caption'; did you mean 'captions'"):
        DatasetImages(path, caption_columns=["caption"]).read("train")

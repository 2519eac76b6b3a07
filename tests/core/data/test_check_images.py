from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.data.check_images import ImageReport, check_images, image_table
from core.data.findings import Finding
from core.data.images import CaptionedImage
from core.errors import DataError
from core.images.read import ImageRef
from tests.core.images.pictures import encoded, noise, write_noise


def seen(path: Path, *captions: str) -> CaptionedImage:
    return CaptionedImage(0, ImageRef(path), captions or ("a dog",), path.name)


def corpus(folder: Path) -> list[CaptionedImage]:
    """One image of each kind; the second and the last two can be used."""
    (folder / "text.jpg").write_text("no image")
    (folder / "grey.png").write_bytes(encoded(noise().convert("L"), "PNG"))
    images = [
        seen(folder / "text.jpg"),
        seen(write_noise(folder / "good.png"), "a dog", "a cat"),
        seen(folder / "missing.jpg"),
        seen(write_noise(folder / "mute.png"), "", " "),
        seen(write_noise(folder / "half.png"), "", "a dog"),
        seen(folder / "grey.png"),
    ]
    return [replace(image, id=row) for row, image in enumerate(images)]


def test_what_is_found_is_counted_and_named(tmp_path: Path) -> None:
    kept, report = check_images(corpus(tmp_path))
    assert [image.id for image in kept] == [1, 4, 5]
    assert [image.captions for image in kept] == [("a dog", "a cat"), ("a dog",), ("a dog",)]
    assert (report.images, report.kept, report.captions) == (6, 3, 4)
    unreadable = report.findings["unreadable"]
    assert (unreadable.count, unreadable.dropped) == (2, True)
    assert unreadable.examples[1] == f"{tmp_path / 'missing.jpg'}: there is no such file"
    assert {name: each for name, each in report.findings.items() if name != "unreadable"} == {
        "no caption": Finding(1, ("mute.png",), True),
        "empty caption": Finding(1, ("half.png",), False),
        "converted": Finding(1, ("grey-scale",), False),
    }


def test_bad_examples_are_an_error_if_wanted(tmp_path: Path) -> None:
    images = corpus(tmp_path)
    with pytest.raises(
        DataError, match=r"of 6 images 2 can't be read \(.*missing\.jpg: there is no such file"
    ) as error:
        check_images(images, "raise")
    assert "1 have no caption (mute.png)" in str(error.value)
    assert "data.on_bad_example: skip leaves them out" in str(error.value)
    kept, _ = check_images([images[row] for row in (1, 4, 5)], "raise")
    assert len(kept) == 3


def test_damage_behind_the_header_is_found_by_decoding(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    data = encoded(noise(64, 64), "JPEG")
    path.write_bytes(data[: len(data) // 2])
    images = [seen(path), seen(write_noise(tmp_path / "good.png"))]
    assert check_images(images)[1].kept == 2
    kept, report = check_images(images, decode=True)
    assert [image.name for image in kept] == ["good.png"]
    assert report.findings["unreadable"].examples[0].startswith(f"{path}: truncated or damaged: ")


def test_images_beyond_the_limit_cant_be_read(tmp_path: Path) -> None:
    images = [seen(write_noise(tmp_path / "a.png", width=20)), seen(write_noise(tmp_path / "b.png"))]
    kept, _ = check_images(images, max_pixels=12 * 8)
    assert [image.name for image in kept] == ["b.png"]


def test_nothing_to_check() -> None:
    assert check_images([]) == ([], ImageReport(0, 0, 0, {}))


def test_the_report_can_be_read() -> None:
    examples = tuple(f"{name}.jpg: there is no such file" for name in "abcde")
    converted = Finding(1000, ("grey-scale",), False)
    report = ImageReport(1234, 1227, 6135, {"unreadable": Finding(7, examples, True), "converted": converted})
    assert image_table({"train": report}).splitlines() == [
        "train: 1,234 images, 1,227 of them usable, with 6,135 captions",
        "       7 can't be read, left out",
        *(f"         {example}" for example in examples),
        "         and 2 more",
        "   1,000 are converted",
        "         grey-scale",
    ]

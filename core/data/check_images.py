"""The look at an image corpus before training: what can't be used, and what is converted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from core.data.findings import Finding, gather, told
from core.data.images import CaptionedImage
from core.errors import DataError
from core.images.read import MAX_PIXELS, ImageInfo, probe_image, read_image

OnBadExample = Literal["skip", "raise"]
Problem = Literal["unreadable", "no caption", "empty caption", "converted"]

TITLES: dict[Problem, str] = {
    "unreadable": "can't be read",
    "no caption": "have no caption",
    "empty caption": "have an empty caption beside others, which isn't used",
    "converted": "are converted",
}
BAD: tuple[Problem, ...] = ("unreadable", "no caption")  # what `on_bad_example` is about

THREADS = 8  # they wait for the disk, and Pillow decodes without the interpreter's lock


@dataclass(frozen=True)
class ImageReport:
    """What `check_images` found.

    Attributes:
        images: how many were looked at.
        kept: how many can be used.
        captions: of those.
        findings: by problem, only those that there are; an image may have several.
    """

    images: int
    kept: int
    captions: int
    findings: Mapping[Problem, Finding]

    def __str__(self) -> str:
        head = f"{self.images:,} images, {self.kept:,} of them usable, with {self.captions:,} captions"
        return "\n".join([head, *told(self.findings, TITLES)])


def image_table(reports: Mapping[str, ImageReport]) -> str:
    """What was found in each split."""
    return "\n".join(f"{split}: {report}" for split, report in reports.items())


def check_images(
    images: Sequence[CaptionedImage],
    on_bad_example: OnBadExample = "skip",
    decode: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> tuple[list[CaptionedImage], ImageReport]:
    """Reads the header of each file, and leaves out the images that can't be used.

    Args:
        images: of a split.
        on_bad_example: what happens when an image can't be read or has no caption: it is left out, or an error names
            the first of them.
        decode: decode each image too: only so is all damage found that lies behind a header. As slow as an epoch of
            reading.
        max_pixels: larger images count as unreadable.

    Returns:
        the images that can be used, without empty captions, and what was found.

    Raises:
        DataError: there are bad ones, and `on_bad_example` is "raise".
    """
    with ThreadPoolExecutor(THREADS) as pool:
        infos = list(pool.map(partial(_look, decode=decode, max_pixels=max_pixels), images))
    found: list[tuple[Problem, str]] = []
    kept: list[CaptionedImage] = []
    for image, info in zip(images, infos, strict=True):
        problems = list(_problems(image, info))
        found += problems
        if not {problem for problem, _ in problems}.intersection(BAD):
            kept.append(replace(image, captions=tuple(text for text in image.captions if text.strip())))
    captions = sum(len(image.captions) for image in kept)
    report = ImageReport(len(images), len(kept), captions, gather(found, BAD, TITLES))
    if on_bad_example == "raise":
        _raise_bad(report)
    return kept, report


def _look(image: CaptionedImage, decode: bool, max_pixels: int) -> ImageInfo | DataError:
    try:
        info = probe_image(image.image, max_pixels)
        if decode:
            read_image(image.image, max_pixels)
    except DataError as error:
        return error
    return info


def _problems(image: CaptionedImage, info: ImageInfo | DataError) -> Iterator[tuple[Problem, str]]:
    """What is wrong with an image, and what to tell of it."""
    if not any(text.strip() for text in image.captions):
        yield "no caption", image.name
    elif not all(text.strip() for text in image.captions):
        yield "empty caption", image.name
    if isinstance(info, DataError):
        yield "unreadable", str(info)
    elif info.conversions:
        yield "converted", ", ".join(info.conversions)


def _raise_bad(report: ImageReport) -> None:
    found = {problem: report.findings[problem] for problem in BAD if problem in report.findings}
    if found:
        parts = "; ".join(f"{each.count} {TITLES[name]} ({'; '.join(each.examples)})" for name, each in found.items())
        raise DataError(f"of {report.images} images {parts}. data.on_bad_example: skip leaves them out")

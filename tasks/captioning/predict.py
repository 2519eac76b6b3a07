"""Captioning people's images: files, directories, file:// URLs; to text or JSON lines, with pictures of attention."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import torch
from torch import Tensor

from core.batch import Seq2SeqBatch
from core.data.image_datamodule import ImageDataModule
from core.errors import ConfigError, DataError
from core.images.read import ImageRef
from core.inputs import STDIN, files_below
from core.outputs import Hypotheses, OutputFormat, open_output
from core.predict import Summary
from tasks.captioning.module import CaptioningModule

IMAGES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".avif", ".jp2",
    ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".pcx", ".tga", ".ico", ".sgi", ".mpo",
)  # fmt: skip


@dataclass(frozen=True)
class CaptionPredictOptions:
    """What to caption, and where to write it.

    Attributes:
        input: an image file; a directory, whose images are read at any depth; a file:// URL of either; "-" for an
            image on standard input.
        output: a file; standard output without it.
        format: "text" has the best captions, n_best of them with tabs between, behind the file's name and a tab where
            there are several images; "jsonl" their scores too. Without it the output's name decides.
        attention: a directory for pictures of where the model looked word by word, one PNG an image.
    """

    input: str = STDIN
    output: Path | None = None
    format: OutputFormat | None = None
    attention: Path | None = None

    @property
    def chosen_format(self) -> OutputFormat:
        """The format that was asked for, or that the output's name tells."""
        return self.format or ("jsonl" if self.output is not None and self.output.suffix == ".jsonl" else "text")


@dataclass(frozen=True)
class Picture:
    """One image to caption: what reports call it, and where it is."""

    name: str
    image: ImageRef


@dataclass(frozen=True)
class Outcome:
    """What became of an image: captions, best first, or the reason why there are none; and what the model saw."""

    picture: Picture
    captions: Hypotheses = ()
    problem: str = ""
    pixels: Tensor | None = None


def predict_captions(module: CaptioningModule, data: ImageDataModule, options: CaptionPredictOptions) -> Summary:
    """Captions all that the options name; prints a summary on standard error and returns it.

    An image that can't be read is reported, and the others are still captioned.

    Raises:
        ConfigError: the output would overwrite the input; the URL isn't one of a file; there is no attention to draw.
        DataError: there is no such input, or no image in it that can be read.
    """
    module.eval()
    summary = Summary(unit="images")
    pictures = plan(options)
    with open_output(options.output) as file:
        for outcome in _outcomes(module, data, pictures, summary):
            file.write(_row(outcome, options.chosen_format, len(pictures)).encode())
            file.flush()
            if options.attention is not None and outcome.pixels is not None:
                _draw(module, outcome, options)
    print(f"predict: {summary}", file=sys.stderr)
    if pictures and summary.problems == len(pictures):
        raise DataError(f"none of {len(pictures)} images could be read" if len(pictures) > 1 else "no result")
    return summary


def plan(options: CaptionPredictOptions) -> list[Picture]:
    """The images that the options name.

    Raises:
        ConfigError: the output is the input itself, or the input is a URL of anything but a file here.
        DataError: there is no such input, or the directory has no images.
    """
    if options.input == STDIN:
        return [Picture("standard input", ImageRef(data=sys.stdin.buffer.read()))]
    path = local_path(options.input)
    if not path.exists():
        raise DataError("there is no such file or directory", path)
    if path.is_file():
        if options.output is not None and options.output.exists() and options.output.samefile(path):
            raise ConfigError(f"--output {options.output} would overwrite the input; give another name")
        return [Picture(str(path), ImageRef(path))]
    files = files_below(path, [] if options.attention is None else [options.attention], IMAGES)
    if not files:
        raise DataError(f"the directory has no images ({', '.join(IMAGES[:6])}, …)", path)
    return [Picture(str(file), ImageRef(file)) for file in files]


def local_path(given: str) -> Path:
    """The path that a path or a file:// URL names.

    Raises:
        ConfigError: a URL of another kind, or of another machine.
    """
    if "://" not in given:
        return Path(given)
    url = urlsplit(given)
    if url.scheme.lower() != "file" or url.netloc not in ("", "localhost"):
        raise ConfigError(
            f"--input {given}: only file:///PATH is read, nothing is fetched: download it and give its path"
        )
    return Path(unquote(url.path))


def _outcomes(
    module: CaptioningModule, data: ImageDataModule, pictures: Sequence[Picture], summary: Summary
) -> Iterator[Outcome]:
    """Captions in the order of the input, a batch at a time."""
    done = 0
    for read in data.loader_of([picture.image for picture in pictures]):
        found = _captions(module, read.batch) if read.batch is not None else {}
        for number in sorted([*found, *read.problems]):
            picture = pictures[number]
            if number in found:
                captions, pixels = found[number]
                yield Outcome(picture, captions, pixels=pixels)
            else:
                summary.report(str(read.problems[number]))
                yield Outcome(picture, problem=str(read.problems[number]))
            done += 1
            summary.done = done - summary.problems


def _captions(module: CaptioningModule, batch: Seq2SeqBatch) -> dict[int, tuple[Hypotheses, Tensor]]:
    """The captions of a batch's images, and their pixels, by number."""
    with torch.inference_mode():
        found = module.generate_texts(batch.to(module.device))
    rows = zip(batch.ids, found, batch.source.values, strict=True)
    return {number: (hypotheses, pixels) for number, hypotheses, pixels in rows}


def _row(outcome: Outcome, kind: OutputFormat, count: int) -> str:
    """One line: the captions, or a JSON object."""
    if kind == "text":
        text = "\t".join(" ".join(text.split()) for text, _ in outcome.captions)
        return f"{outcome.picture.name}\t{text}\n" if count > 1 else f"{text}\n"
    row: dict[str, object] = {"image": outcome.picture.name}
    row["captions"] = [
        {"text": text, "score": found.score, "log_prob": found.log_prob, "finished": found.finished}
        for text, found in outcome.captions
    ]
    if outcome.problem:
        row["problem"] = outcome.problem
    return json.dumps(row, ensure_ascii=False) + "\n"


def _draw(module: CaptioningModule, outcome: Outcome, options: CaptionPredictOptions) -> None:
    """Draws attention into a file that is named as the image is, in folders as the images are."""
    from tasks.captioning.pictures import draw_looks

    assert options.attention is not None
    assert outcome.pixels is not None
    path = Path(outcome.picture.name)
    root = None if options.input == STDIN else local_path(options.input)
    name = path.relative_to(root) if root is not None and root.is_dir() else Path(path.name)
    draw_looks(module, outcome.pixels, outcome.captions[0][1], options.attention / f"{name}.png")

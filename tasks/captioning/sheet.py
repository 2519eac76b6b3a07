"""A contact sheet: images with our caption, its score and the references, as one HTML page that needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path

from PIL import Image

from core.errors import DataError
from core.images.read import ImageRef, read_image
from core.metrics.base import Scored

MOST = 300  # images on a page: beyond it, evenly chosen by their score
THUMBNAIL = 320  # pixels of the longer side
STYLE = """
:root { color-scheme: light dark; font: 15px/1.4 system-ui, sans-serif; }
body { margin: 1.5rem auto; padding: 0 1.5rem; max-width: 1500px; }
h1 { font-size: 1.3rem; margin: 0; }
header p { margin: .2rem 0 1.2rem; opacity: .75; }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); }
figure { margin: 0; border: 1px solid color-mix(in srgb, currentColor 20%, transparent); border-radius: 8px;
  overflow: hidden; display: flex; flex-direction: column; break-inside: avoid; }
figure > .picture { background: color-mix(in srgb, currentColor 8%, transparent); height: 200px; display: flex;
  align-items: center; justify-content: center; }
img { max-width: 100%; max-height: 200px; min-height: 128px; object-fit: contain; display: block; }
figcaption { padding: .6rem .8rem .8rem; display: flex; flex-direction: column; flex: 1; }
.ours { font-weight: 600; margin: 0 0 .4rem; overflow-wrap: anywhere; }
ul { margin: 0 0 .5rem; padding-left: 1.1rem; opacity: .85; font-size: .9em; overflow-wrap: anywhere; }
.foot { margin: auto 0 0; display: flex; gap: .8rem; font-size: .8em; opacity: .7; }
.foot span:first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; flex: 1; }
"""


def write_sheet(
    path: Path, examples: Sequence[Scored], sentences: Sequence[float], images: Sequence[ImageRef], checkpoint: Path
) -> None:
    """Writes the page, best captions first.

    Args:
        path: of the page.
        examples: what was scored, N of them.
        sentences: CIDEr-D of each, N of them.
        images: theirs, N of them; one that can't be read any more leaves its place empty.
        checkpoint: what wrote the captions, for the heading.
    """
    order = sorted(range(len(examples)), key=lambda row: -sentences[row])
    shown = order if len(order) <= MOST else [order[place * len(order) // MOST] for place in range(MOST)]
    figures = "\n".join(_figure(examples[row], sentences[row], images[row]) for row in shown)
    of_all = "" if len(shown) == len(order) else f"{len(shown)} of "
    path.write_text(
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Captions: {escape(checkpoint.name)}</title>\n<style>{STYLE}</style>\n"
        f"<header><h1>Captions</h1>\n<p>{escape(str(checkpoint))} · {of_all}{len(order)} images, best CIDEr-D first · "
        f"bold: the model's, below it the references</p></header>\n<main>\n{figures}\n</main>\n</html>\n",
        encoding="utf-8",
    )


def thumbnail(image: Image.Image) -> bytes:
    """A small JPEG of an image."""
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85, subsampling=0)  # drawn shapes have sharp colours
    return buffer.getvalue()


def _figure(example: Scored, score: float, image: ImageRef) -> str:
    try:
        data = base64.b64encode(thumbnail(read_image(image))).decode()
        picture = f'<img loading="lazy" alt="" src="data:image/jpeg;base64,{data}">'
    except DataError as error:
        picture = f"<small>{escape(str(error))}</small>"
    references = "".join(f"<li>{escape(text)}</li>" for text in example.references)
    ours = escape(example.hypothesis) or "<i>(nothing)</i>"
    name = escape(example.source)
    return (
        f'<figure><div class="picture">{picture}</div><figcaption><p class="ours">{ours}</p><ul>{references}</ul>'
        f'<p class="foot"><span title="{name}">{name}</span><span>CIDEr-D {score:.0f}</span></p></figcaption></figure>'
    )

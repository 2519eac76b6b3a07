"""The scenes of the built-in corpus: what is in them, and how they look.

Places and lengths are shares of the image's side, from its top left corner.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from PIL import Image, ImageDraw

Kind = Literal["one", "several", "relation"]
Place = Literal["middle", "top", "bottom", "left", "right"]
Size = Literal["small", "large"]
Point = tuple[float, float]

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURS = {
    "red": (214, 40, 40),
    "green": (46, 139, 64),
    "blue": (40, 84, 200),
    "yellow": (242, 206, 38),
    "purple": (128, 50, 148),
    "orange": (240, 128, 24),
}
GROUNDS = {"white": (252, 252, 252), "grey": (150, 150, 150), "black": (16, 16, 16), "striped": (235, 235, 235)}
STRIPE = (205, 205, 205)
STRIPES = 8  # dark ones
RADII: dict[Size, tuple[float, float]] = {"small": (0.08, 0.105), "large": (0.165, 0.205)}
CENTRES: dict[Place, Point] = {
    "middle": (0.5, 0.5), "top": (0.5, 0.24), "bottom": (0.5, 0.76), "left": (0.24, 0.5), "right": (0.76, 0.5),
}  # fmt: skip
CORNERS = ((0.26, 0.26), (0.74, 0.26), (0.26, 0.74), (0.74, 0.74))
WANDER = 0.04  # how far a thing may be from where it was put, either way
TILT = 12.0  # degrees, either way
SHADE = 14  # how far each part of a colour may be off, either way
FINER = 4  # drawn so many times as large, then scaled down: smooth edges


@dataclass(frozen=True)
class Thing:
    """A shape with a colour and a size."""

    shape: str
    colour: str
    size: Size


@dataclass(frozen=True)
class Scene:
    """What an image shows.

    Attributes:
        kind: "one" thing; "several", two to four of the same; a "relation" of two different ones.
        things: one of the first two kinds; two of the third, whose first is `place` of the second.
        count: how many things there are.
        place: where the one thing is, or on which side of the second the first is.
        ground: the background's name.
    """

    kind: Kind
    things: tuple[Thing, ...]
    count: int
    place: Place
    ground: str


def draw_scene(rng: Random, pairs: Sequence[tuple[str, str]], others: Sequence[tuple[str, str]]) -> Scene:
    """Draws what a scene shows.

    Args:
        rng: what decides.
        pairs: the shapes and colours that its first thing may have.
        others: those that its second may have, where there is one.
    """
    kind = rng.choice(("one", "several", "relation", "relation"))
    first, ground = _thing(rng, pairs), rng.choice(tuple(GROUNDS))
    if kind == "one":
        return Scene("one", (first,), 1, rng.choice(tuple(CENTRES)), ground)
    if kind == "several":
        return Scene("several", (first,), rng.randint(2, 4), "middle", ground)
    different = [pair for pair in others if pair != (first.shape, first.colour)]
    place = rng.choice(tuple(CENTRES)[1:])
    return Scene("relation", (first, _thing(rng, different)), 2, place, ground)


def draw_image(scene: Scene, side: int, rng: Random) -> Image.Image:
    """Draws a scene as a square RGB image; places, sizes, colours and angles vary within what they are called."""
    large = side * FINER
    image = Image.new("RGB", (large, large), GROUNDS[scene.ground])
    canvas = ImageDraw.Draw(image)
    if scene.ground == "striped":
        width = large / (2 * STRIPES)
        for number in range(STRIPES):
            canvas.rectangle((2 * number * width, 0, (2 * number + 1) * width, large), STRIPE)
    for thing, (x, y) in zip(_all_things(scene), _centres(scene, rng), strict=True):
        centre = ((x + rng.uniform(-WANDER, WANDER)) * large, (y + rng.uniform(-WANDER, WANDER)) * large)
        _draw_thing(canvas, thing, centre, large, rng)
    return image.reduce(FINER)


def png(image: Image.Image) -> bytes:
    """An image as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _thing(rng: Random, pairs: Sequence[tuple[str, str]]) -> Thing:
    shape, colour = rng.choice(pairs)
    return Thing(shape, colour, rng.choice(("small", "large")))


def _all_things(scene: Scene) -> tuple[Thing, ...]:
    return scene.things if scene.kind == "relation" else scene.things * scene.count


def _centres(scene: Scene, rng: Random) -> list[Point]:
    if scene.kind == "one":
        return [CENTRES[scene.place]]
    if scene.kind == "several":
        return rng.sample(CORNERS, scene.count)
    x, y = CENTRES[scene.place]
    return [(x, y), (1 - x, 1 - y)]


def _draw_thing(canvas: ImageDraw.ImageDraw, thing: Thing, centre: Point, side: int, rng: Random) -> None:
    radius = rng.uniform(*RADII[thing.size]) * side
    red, green, blue = (min(max(part + rng.randint(-SHADE, SHADE), 0), 255) for part in COLOURS[thing.colour])
    turn = math.radians(rng.uniform(-TILT, TILT))
    box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
    if thing.shape == "circle":
        canvas.ellipse(box, (red, green, blue))
    elif thing.shape == "ring":
        canvas.ellipse(box, None, (red, green, blue), round(0.38 * radius))
    else:
        corners = [
            (centre[0] + far * radius * math.cos(turn + angle), centre[1] + far * radius * math.sin(turn + angle))
            for far, angle in OUTLINES[thing.shape]()
        ]
        canvas.polygon(corners, (red, green, blue))


def _regular(corners: int, far: float) -> list[Point]:
    """The corners of a regular polygon that stands on a side: distances from the centre and angles."""
    start = -math.pi / 2 + (math.pi / corners if corners % 2 == 0 else 0)
    return [(far, start + 2 * math.pi * number / corners) for number in range(corners)]


def _star() -> list[Point]:
    return [(1.15 if number % 2 == 0 else 0.46, -math.pi / 2 + math.pi * number / 5) for number in range(10)]


def _cross() -> list[Point]:
    arm = 0.32
    quarter = [(arm, -1.0), (arm, -arm), (1.0, -arm)]
    corners = []
    for _ in range(4):
        corners += quarter
        quarter = [(-y, x) for x, y in quarter]
    return [(math.hypot(x, y), math.atan2(y, x)) for x, y in corners]


OUTLINES: dict[str, Callable[[], list[Point]]] = {
    "square": lambda: _regular(4, 1.2),
    "triangle": lambda: _regular(3, 1.15),
    "star": _star,
    "cross": _cross,
}

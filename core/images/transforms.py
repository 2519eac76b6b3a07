"""From an image to a tensor of one size, and in training to one of its variants.

Letters: H height, W width, both `size`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.errors import ConfigError

Resize = Literal["squash", "crop"]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

TRIES = 10  # rectangles that are drawn before the whole image is taken, as torchvision's RandomResizedCrop does


@dataclass(frozen=True)
class AugmentOptions:
    """How training images are changed, each by draws of its own.

    Attributes:
        least_area: a rectangle of at least this share of the image, and of at most all of it, is cut out and scaled,
            its sides in a ratio of 3:4 to 4:3 (Szegedy et al. 2015, section 6); 1 for the image as it is.
        flip: probability of being mirrored. Captions with "left" and "right" become wrong by it.
        brightness: the image is multiplied by a factor within 1 - this and 1 + this; 0 for none, likewise below.
        contrast: the same for the distance to its mean grey.
        saturation: the same for the distance to its own grey.
        hue: the colours are turned by at most this share of the circle, at most 0.5. Their names become wrong by it.

    Raises:
        ConfigError: one of them is out of its range.
    """

    least_area: float = 1.0
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.least_area <= 1:
            raise ConfigError(f"data.augment.least_area must be in (0, 1], got {self.least_area}")
        for name, most in (("flip", 1.0), ("brightness", 1.0), ("contrast", 1.0), ("saturation", 1.0), ("hue", 0.5)):
            if not 0 <= getattr(self, name) <= most:
                raise ConfigError(f"data.augment.{name} must be in [0, {most:g}], got {getattr(self, name)}")

    @property
    def changes(self) -> bool:
        """Whether anything is changed at all."""
        return self != AugmentOptions()


@dataclass(frozen=True)
class TransformOptions:
    """How an image becomes a tensor. Pretrained encoders want what they were trained with.

    Attributes:
        size: of both sides, in pixels.
        resize: "squash" scales both sides, whatever their ratio, and keeps all of the image; "crop" scales the shorter
            side and takes the middle.
        mean: of each channel, subtracted from values in [0, 1].
        std: of each channel, by which the difference is divided.

    Raises:
        ConfigError: one of them is out of its range.
    """

    size: int = 224
    resize: Resize = "squash"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"data.transform.size must be at least 1 pixel, got {self.size}")
        if not all(map(math.isfinite, self.mean)):
            raise ConfigError(f"data.transform.mean must be finite, got {self.mean}")
        if not all(math.isfinite(value) and value > 0 for value in self.std):
            raise ConfigError(f"data.transform.std must be above 0, got {self.std}")


def to_tensor(image: Image.Image, options: TransformOptions) -> Tensor:
    """Makes an RGB image a normalised float32 tensor (3, H, W)."""
    from torchvision.transforms.v2 import functional

    pixels: Tensor = functional.pil_to_tensor(image)
    if options.resize == "squash":
        return _normalised(_scaled(pixels, options.size, options.size), options)
    height, width = pixels.shape[1:]
    ratio = options.size / min(height, width)
    scaled = _scaled(pixels, max(round(height * ratio), options.size), max(round(width * ratio), options.size))
    middle: Tensor = functional.center_crop(scaled, [options.size, options.size])
    return _normalised(middle, options)


def augmented(
    image: Image.Image, options: TransformOptions, augment: AugmentOptions, random: np.random.Generator
) -> Tensor:
    """Makes a variant of an RGB image a normalised float32 tensor (3, H, W).

    With `least_area` below 1 the rectangle that was drawn is scaled to the size, whatever `options.resize` says.

    Args:
        image: as it was read.
        options: what its tensor is like.
        augment: how it is changed.
        random: where the draws come from: the same state gives the same variant.
    """
    from torchvision.transforms.v2 import functional

    if augment.least_area < 1:
        left, top, width, height = draw_rectangle(image.size, augment.least_area, random)
        image = image.crop((left, top, left + width, top + height))
        options = TransformOptions(options.size, "squash", options.mean, options.std)
    if random.random() < augment.flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    plain = TransformOptions(options.size, options.resize, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    pixels = to_tensor(image, plain)  # in [0, 1]
    steps: tuple[tuple[Callable[[Tensor, float], Tensor], float, float], ...] = (
        (functional.adjust_brightness, 1.0, augment.brightness),
        (functional.adjust_contrast, 1.0, augment.contrast),
        (functional.adjust_saturation, 1.0, augment.saturation),
        (functional.adjust_hue, 0.0, augment.hue),
    )
    for number in random.permutation(len(steps)):  # the order matters, and none is the right one
        adjust, centre, width_of_draw = steps[number]
        if width_of_draw:
            pixels = adjust(pixels, centre + width_of_draw * random.uniform(-1, 1))
    return _normalised(pixels, options)


def draw_rectangle(size: tuple[int, int], least_area: float, random: np.random.Generator) -> tuple[int, int, int, int]:
    """Draws a part of an image of (width, height) pixels: left, top, width and height; all of it if none fits."""
    for _ in range(TRIES):
        area = size[0] * size[1] * random.uniform(least_area, 1)
        ratio = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        width, height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < width <= size[0] and 0 < height <= size[1]:
            left, top = random.integers(size[0] - width + 1), random.integers(size[1] - height + 1)
            return int(left), int(top), width, height
    return 0, 0, *size


def _scaled(pixels: Tensor, height: int, width: int) -> Tensor:
    from torchvision.transforms.v2 import functional

    scaled: Tensor = functional.resize(pixels, [height, width], antialias=True)
    return scaled


def _normalised(pixels: Tensor, options: TransformOptions) -> Tensor:
    """From bytes, or from fractions of 1."""
    white = 1.0 if pixels.is_floating_point() else 255.0
    mean, std = (white * torch.tensor(values).view(3, 1, 1) for values in (options.mean, options.std))
    # Pillow's pixels lie channel by channel within each: in that order the arithmetic takes more than twice as long.
    return (pixels.contiguous().float() - mean).div_(std)

"""Images for tests."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def noise(width: int = 12, height: int = 8, seed: int = 1) -> Image.Image:
    """An RGB image of random pixels."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def write_noise(path: Path, seed: int = 1, width: int = 12, height: int = 8) -> Path:
    """Writes random pixels, and the folders where there are none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise(width, height, seed).save(path)
    return path


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of an image's file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()

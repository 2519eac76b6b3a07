"""Reading images: any file, upright, in red, green and blue, or the reason why it can't be."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from core.errors import ConfigError, DataError

# In pixels: from here on Pillow warns of decompression bombs, and beyond twice as many it refuses.
MAX_PIXELS = 89_478_485
# What is tried: pictures of pixels. Pillow would hand others (EPS, WMF) to programs of the system.
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "SGI", "TGA", "TIFF", "WEBP")

ORIENTATION = 0x0112  # EXIF's number for how the camera was held
ALONE = {"1": "black and white", "L": "grey-scale", "P": "palette", "CMYK": "CMYK", "LAB": "L*a*b*", "YCbCr": "YCbCr"}


@dataclass(frozen=True)
class ImageRef:
    """An image file, on the disk or in memory.

    Attributes:
        path: the file; beside `data` it is only a name for messages.
        data: the bytes of an encoded file, for an image in memory.

    Raises:
        DataError: neither path nor data.
    """

    path: Path | None = None
    data: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.path is None and self.data is None:
            raise DataError("an image needs a path, or the bytes of a file")

    @property
    def name(self) -> str:
        """The file's name for messages."""
        return f"image of {len(self.data or b''):,} bytes in memory" if self.path is None else str(self.path)


@dataclass(frozen=True)
class ImageInfo:
    """What an image file's header says.

    Attributes:
        width: in pixels, as stored: a rotation that EXIF asks for isn't done yet.
        height: likewise.
        format: Pillow's name of the file's format.
        mode: Pillow's name of how a pixel is stored.
        rotated: EXIF says that the camera was held otherwise than the pixels are stored.
        transparent: some of it may be.
        frames: how many there are: above 1 in animations and in files of several pages.
    """

    width: int
    height: int
    format: str
    mode: str
    rotated: bool = False
    transparent: bool = False
    frames: int = 1

    @property
    def conversions(self) -> tuple[str, ...]:
        """What `read_image` makes of it, said of what it was: "grey-scale", "rotated by EXIF"; empty for plain RGB."""
        depth = "16 bits a channel" if self.mode.startswith("I") else ALONE.get(self.mode.removesuffix("A"), "")
        told = {
            depth: bool(depth),
            "transparent, put on white": self.transparent,
            "rotated by EXIF": self.rotated,
            "several frames, the first is taken": self.frames > 1,
        }
        return tuple(text for text, true in told.items() if true)


def probe_image(ref: ImageRef, max_pixels: int = MAX_PIXELS) -> ImageInfo:
    """Reads an image's header, and checks its checksums where the format has them (PNG); no pixel is decoded.

    Raises:
        DataError: see `read_image`; of what is damaged behind the header only a part is found.
    """
    with _opened(ref, max_pixels) as image:
        info = ImageInfo(
            *image.size,
            image.format or "",
            image.mode,
            _orientation(image) not in (0, 1),
            image.has_transparency_data,
            getattr(image, "n_frames", 1),
        )
        if image.format == "PNG" and info.frames == 1:  # the others' check is of the header alone
            image.verify()
    return info


def _orientation(image: Image.Image) -> int:
    """EXIF's number for how the camera was held; of a PNG only what stands before its pixels, which stay undecoded."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(ORIENTATION, 1))


def read_image(ref: ImageRef, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Reads an image as 8-bit RGB, turned as its EXIF says; of an animation the first frame.

    Grey, palette and CMYK become RGB; 16 bits a channel become 8; what is transparent is put on white.

    Args:
        ref: the file.
        max_pixels: a larger image isn't decoded: a small file may unpack to more than the memory (see
            `check_max_pixels`).

    Raises:
        DataError: the file is missing, empty, truncated, damaged, no image of a known format, or larger than allowed;
            its pixels are fractions, or integers beyond 16 bits.
    """
    with _opened(ref, max_pixels) as image:
        image.load()
        return _rgb(ImageOps.exif_transpose(image), ref)


def check_max_pixels(max_pixels: int) -> None:
    """Refuses limits that Pillow doesn't reach.

    Raises:
        ConfigError: not between 1 and what Pillow itself refuses.
    """
    if not 1 <= max_pixels <= 2 * MAX_PIXELS:
        raise ConfigError(f"data.max_pixels must be in [1, {2 * MAX_PIXELS}], Pillow's own limit, got {max_pixels}")


@contextmanager
def _opened(ref: ImageRef, max_pixels: int) -> Iterator[Image.Image]:
    """Opens an image whose pixels aren't decoded yet; whatever goes wrong with it is a DataError."""
    try:
        with Image.open(_file(ref), formats=_formats()) as image:
            _check_size(image, ref, max_pixels)
            yield image
    except DataError:
        raise
    except UnidentifiedImageError:
        known = ", ".join(_formats())
        raise DataError(f"no image that can be read: convert it to one of {known}", ref.name) from None
    except Image.DecompressionBombError as error:
        raise DataError(f"too large to be decoded, or a decompression bomb: {error}", ref.name) from None
    except Exception as error:  # Pillow's decoders raise a dozen kinds
        said = str(error) or type(error).__name__
        raise DataError(f"truncated or damaged: {said}; copy the file again, or leave it out", ref.name) from error


def _file(ref: ImageRef) -> Path | io.BytesIO:
    """What Pillow opens.

    Raises:
        DataError: the file is missing, empty, a directory, or may not be read.
    """
    if ref.data is not None:
        if not ref.data:
            raise DataError("the file is empty", ref.name)
        return io.BytesIO(ref.data)
    assert ref.path is not None, "an image has a path or data"
    try:
        with open(ref.path, "rb") as file:
            if not file.read(1):
                raise DataError("the file is empty", ref.name)
    except FileNotFoundError:
        raise DataError("there is no such file", ref.name) from None
    except IsADirectoryError:
        raise DataError("is a directory, not an image", ref.name) from None
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror}", ref.name) from error
    except ValueError as error:  # a NUL in its name, or what isn't Unicode
        raise DataError(f"no file can have this name: {error}", ascii(ref.name)) from None
    return ref.path


def _rotated(image: Image.Image) -> bool:
    if image.format == "PNG" and "exif" not in image.info:
        return False  # Pillow would decode the image to look for EXIF behind its pixels
    return image.getexif().get(ORIENTATION, 1) not in (0, 1)


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _check_size(image: Image.Image, ref: ImageRef, max_pixels: int) -> None:
    width, height = image.size
    if not width * height:
        raise DataError(f"has no pixel: it is {width}x{height}", ref.name)
    if width * height > max_pixels:
        size = f"{width}x{height} = {width * height:,} pixels"
        raise DataError(f"is {size}, data.max_pixels is {max_pixels:,}: scale it down, or raise the limit", ref.name)


def _rgb(image: Image.Image, ref: ImageRef) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image, ref)
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        image = opaque
    return image.convert("RGB")


def _eight_bits(image: Image.Image, ref: ImageRef) -> Image.Image:
    """Scales grey values of 16 bits to 8: 65535 becomes 255."""
    values = np.asarray(image)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 0xFFFF:
        mend = "convert it to 8 bits a channel"
        raise DataError(f"its pixels are neither 8 nor 16 bits (Pillow's mode {image.mode}): {mend}", ref.name)
    return Image.fromarray(((values.astype(np.uint32) * 255 + 0x7FFF) // 0xFFFF).astype(np.uint8))

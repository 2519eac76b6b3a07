from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from core.errors import ConfigError, DataError
from core.images.read import MAX_PIXELS, ImageInfo, ImageRef, check_max_pixels, probe_image, read_image
from tests.core.images.pictures import encoded, noise


def read(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    image = read_image(ImageRef(data=data))
    assert image.mode == "RGB"
    return np.asarray(image)


def png(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises any size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


# What is read is what was written


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
def test_lossless_formats_give_the_pixels_that_were_written(kind: str) -> None:
    assert (read(encoded(noise(), kind)) == np.asarray(noise())).all()


def test_a_file_gives_what_its_bytes_give(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(noise(), "JPEG"))
    assert np.asarray(read_image(ImageRef(path))).tolist() == read(path.read_bytes()).tolist()


def test_grey_black_and_white_and_palette() -> None:
    grey = noise().convert("L")
    values = np.asarray(grey)
    assert (read(encoded(grey, "PNG")) == values[..., None]).all()
    assert (
        read(encoded(grey.point(lambda v: 255 * (v > 99)).convert("1"), "PNG")) == 255 * (values > 99)[..., None]
    ).all()
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 0])
    palette.putdata([1, 0])
    assert read(encoded(palette, "PNG")).tolist() == [[[200, 100, 0], [10, 20, 30]]]


def test_sixteen_bits_become_eight() -> None:
    values = np.array([[0, 257, 0x8000, 0xFFFF]], dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        assert read(encoded(Image.fromarray(values), kind)).tolist() == [[[0] * 3, [1] * 3, [128] * 3, [255] * 3]]


def test_what_is_transparent_is_put_on_white() -> None:
    rgba = Image.new("RGBA", (3, 1))
    rgba.putdata([(0, 0, 0, 0), (200, 100, 0, 255), (0, 0, 0, 51)])
    expected = [[[255] * 3, [200, 100, 0], [204] * 3]]  # 255 * (1 - 51 / 255)
    assert read(encoded(rgba, "PNG")).tolist() == expected
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 200, 100, 0])
    palette.putdata([0, 1])
    assert read(encoded(palette, "PNG", transparency=0)).tolist() == [[[255] * 3, [200, 100, 0]]]
    grey = Image.new("LA", (1, 1), (0, 0))
    assert read(encoded(grey, "PNG")).tolist() == [[[255] * 3]]


def test_cmyk() -> None:
    inks = Image.new("CMYK", (1, 1), (255, 0, 0, 0))
    assert read(encoded(inks, "TIFF")).tolist() == [[[0, 255, 255]]]
    assert np.abs(read(encoded(inks.resize((8, 8)), "JPEG", quality=100)).astype(int) - [0, 255, 255]).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    ("orientation", "turns", "mirrored"), [(1, 0, False), (2, 0, True), (3, 2, False), (6, 3, False), (8, 1, False)]
)
def test_images_are_turned_as_exif_says(kind: str, orientation: int, turns: int, mirrored: bool) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    flat = noise(1, 1).resize((16, 8))
    flat.paste((255, 0, 0), (0, 0, 8, 8))
    data = encoded(flat, kind, exif=exif)
    plain = read(encoded(flat, kind))
    expected = np.rot90(plain[:, ::-1] if mirrored else plain, turns)
    assert (read(data) == expected).all()
    info = probe_image(ImageRef(data=data))
    assert (info.width, info.height, info.rotated) == (16, 8, orientation != 1)


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    for kind in ("GIF", "PNG", "WEBP", "TIFF"):
        data = encoded(
            frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
        )
        assert read(data).tolist() == [[[255, 0, 0]] * 4] * 4
        assert probe_image(ImageRef(data=data)).frames == 3


# What the header says


def test_the_header_tells_what_is_converted() -> None:
    plain = probe_image(ImageRef(data=encoded(noise(12, 8), "JPEG")))
    assert plain == ImageInfo(12, 8, "JPEG", "RGB")
    assert plain.conversions == ()
    for image, kind, expected in (
        (noise().convert("L"), "PNG", ("grey-scale",)),
        (noise().convert("1"), "PNG", ("black and white",)),
        (noise().convert("P"), "GIF", ("palette",)),
        (noise().convert("CMYK"), "JPEG", ("CMYK",)),
        (noise().convert("RGBA"), "PNG", ("transparent, put on white",)),
        (noise().convert("LA"), "PNG", ("grey-scale", "transparent, put on white")),
        (Image.fromarray(np.zeros((2, 2), np.uint16)), "PNG", ("16 bits a channel",)),
    ):
        assert probe_image(ImageRef(data=encoded(image, kind))).conversions == expected


# What can't be read


def refused(ref: ImageRef, message: str, **options: int) -> None:
    for look in (probe_image, read_image):
        with pytest.raises(DataError, match=message):
            look(ref, **options)


def test_files_that_arent_there_or_arent_images(tmp_path: Path) -> None:
    refused(ImageRef(tmp_path / "a.jpg"), r"a\.jpg: there is no such file")
    refused(ImageRef(tmp_path), f"{tmp_path}: is a directory, not an image")
    (tmp_path / "b.jpg").write_bytes(b"")
    refused(ImageRef(tmp_path / "b.jpg"), r"b\.jpg: the file is empty")
    refused(ImageRef(data=b""), "image of 0 bytes in memory: the file is empty")
    (tmp_path / "c.jpg").write_text("<html>not found</html>")
    refused(ImageRef(tmp_path / "c.jpg"), r"c\.jpg: no image that can be read: convert it to one of .*JPEG")
    with pytest.raises(DataError, match="needs a path, or the bytes"):
        ImageRef()


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_files_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(noise(), "PNG"))
    path.chmod(0)
    refused(ImageRef(path), r"a\.png: can't be read: Permission denied")


def test_pages_that_need_a_program_of_the_system_are_no_images() -> None:
    refused(ImageRef(data=encoded(noise(), "EPS")), "no image that can be read")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_truncated_files_are_named(tmp_path: Path, kind: str) -> None:
    data = encoded(noise(64, 64), kind)
    path = tmp_path / "cut"
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(DataError, match=r"cut: (truncated or damaged|no image that can be read)"):
        read_image(ImageRef(path))


def test_damage_that_checksums_show_is_seen_without_decoding() -> None:
    data = bytearray(encoded(noise(64, 64), "PNG"))
    data[len(data) // 2] ^= 0xFF
    refused(ImageRef(data=bytes(data)), "truncated or damaged: .*; copy the file again")


def test_large_images_are_refused_before_they_are_decoded() -> None:
    data = encoded(noise(12, 8), "PNG")
    refused(ImageRef(data=data), r"is 12x8 = 96 pixels, data\.max_pixels is 95: scale it down", max_pixels=95)
    assert probe_image(ImageRef(data=data), 96).width == 12
    assert read_image(ImageRef(data=data), 96).size == (12, 8)
    refused(ImageRef(data=png(60000, 60000)), "too large to be decoded, or a decompression bomb")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_pillow_only_warns_of_the_middling_ones() -> None:
    refused(ImageRef(data=png(10000, 10000)), r"100,000,000 pixels, data\.max_pixels is 89,478,485")


def test_a_bomb_of_text_is_refused() -> None:
    about = PngInfo()
    about.add_text("a", "x" * (2 << 20), zip=True)
    with pytest.raises(DataError, match="truncated or damaged: "):
        read_image(ImageRef(data=encoded(noise(), "PNG", pnginfo=about)))


@pytest.mark.parametrize(
    "values", [np.zeros((2, 2), np.float32), np.full((2, 2), 70000, np.int32), np.full((2, 2), -1, np.int32)]
)
def test_other_numbers_than_bytes_are_refused(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF")
    with pytest.raises(DataError, match=r"neither 8 nor 16 bits \(Pillow's mode .\): convert it to 8 bits"):
        read_image(ImageRef(data=file.getvalue()))


@pytest.mark.parametrize("limit", [0, -1, 2 * MAX_PIXELS + 1])
def test_limits_that_pillow_doesnt_reach(limit: int) -> None:
    with pytest.raises(ConfigError, match=rf"data\.max_pixels must be in \[1, .*got {limit}"):
        check_max_pixels(limit)
    check_max_pixels(2 * MAX_PIXELS)

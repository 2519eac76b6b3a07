"""Sound and images of any bytes: what can be read, or a DataError with the path, in little memory."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from core.audio.clip import AudioClip
from core.audio.read import probe, read_audio
from core.errors import DataError
from core.images.read import ImageRef, probe_image, read_image

FUZZ = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def hear(path: Path) -> object:
    probe(AudioClip(path))
    return read_audio(AudioClip(path), 16000)


def see(path: Path) -> object:
    probe_image(ImageRef(path))
    return read_image(ImageRef(path))


def read_or_told(read: Callable[[Path], object], path: Path) -> object:
    try:
        return read(path)
    except DataError as error:
        told = error
    assert path.name[:40] in str(told) or ascii(path.name)[1:-1] in str(told), "it names the file"
    return told


def sound(kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(1600) / 9) / 2, 16000, format=kind)
    return file.getvalue()


def picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(32 * 24 * 3, dtype=np.uint8).reshape(24, 32, 3)).save(file, kind)
    return file.getvalue()


def wav(channels: int, rate: int, bits: int, claimed: int, data: bytes) -> bytes:
    """A WAV file with a header that says what it likes."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, (rate * block) & 0xFFFFFFFF, block & 0xFFFF, bits)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", claimed) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def png(width: int, height: int, data: bytes = b"") -> bytes:
    """A PNG file of a claimed size."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(1 << 24))
    return file.getvalue()


SOUNDS = {kind.lower(): sound(kind) for kind in ("WAV", "FLAC", "OGG", "MP3")}
PICTURES = {kind.lower(): picture(kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")}
MEDIA = [(hear, SOUNDS), (see, PICTURES)]


@pytest.mark.parametrize(("read", "good"), MEDIA, ids=["sound", "images"])
@FUZZ
@given(data=st.data())
def test_damaged_files(
    tmp_path: Path, read: Callable[[Path], object], good: dict[str, bytes], data: st.DataObject
) -> None:
    kind = data.draw(st.sampled_from(sorted(good)))
    content = bytearray(good[kind])
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, min(len(content) - 1, 200)))
        content[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    path = tmp_path / f"file.{kind}"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    read_or_told(read, path)


@pytest.mark.parametrize("read", [hear, see])
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "png", "jpg", "gif", "tiff"])
@FUZZ
@given(content=st.binary(max_size=64))
def test_junk(tmp_path: Path, read: Callable[[Path], object], suffix: str, content: bytes) -> None:
    path = tmp_path / f"file.{suffix}"
    path.write_bytes(content)
    read_or_told(read, path)


CLAIMS = {
    "two gigabytes.wav": wav(1, 16000, 16, 0x7FFFFF00, b"\0\0" * 50),
    "four gigabytes.wav": wav(1, 16000, 16, 0xFFFFFFFE, b"\0\0" * 50),
    "many channels.wav": wav(65535, 16000, 16, 1000, bytes(1000)),
    "no channels.wav": wav(0, 16000, 16, 100, bytes(100)),
    "no rate.wav": wav(1, 0, 16, 100, bytes(100)),
    "a mad rate.wav": wav(1, 0xFFFFFFFF, 16, 100, bytes(100)),
    "no bits.wav": wav(1, 16000, 0, 100, bytes(100)),
    "wide.png": png(2**31 - 1, 1),
    "large.png": png(100_000, 100_000),
    "just allowed and empty.png": png(8_000, 8_000),
    "none.png": png(0, 10),
    "zip.wav": zipped(),
    "zip.png": zipped(),
    "zip.jpg": zipped(),
    "bomb.png": png(10, 10, bytes(1 << 24)),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_headers_that_claim_too_much(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(CLAIMS[name])
    for read in (hear, see):
        read_or_told(read, path)


@pytest.mark.parametrize("read", [hear, see])
@pytest.mark.parametrize("name", ["a\0b", "a\udc80b\ud800", "x" * 5000])
def test_names_that_no_file_can_have(tmp_path: Path, read: Callable[[Path], object], name: str) -> None:
    assert isinstance(read_or_told(read, tmp_path / name), DataError)


@pytest.mark.parametrize("read", [hear, see])
def test_what_is_no_file(tmp_path: Path, read: Callable[[Path], object]) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path, tmp_path / "loop", tmp_path / "gone"):
        assert isinstance(read_or_told(read, path), DataError)

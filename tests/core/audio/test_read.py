from __future__ import annotations

import math
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from core.audio.clip import AudioClip, AudioInfo
from core.audio.decoders import DecodingError, LibsndfileSound
from core.audio.read import probe, read_audio, read_native
from core.audio.resample import resample, resampled_length
from core.errors import DataError

Samples = NDArray[np.float32]


def sine(hertz: float, rate: int, seconds: float = 1.0, level: float = 0.5) -> Samples:
    time = np.arange(round(rate * seconds)) / rate
    return (level * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def written(path: Path, samples: Samples, rate: int, **options: str) -> AudioClip:
    soundfile.write(path, samples, rate, **options)
    return AudioClip(path)


def loudest_hertz(samples: torch.Tensor, rate: int) -> float:
    """The frequency of the highest peak, interpolated between the bins (Gaussian window, parabola of logarithms)."""
    window = torch.from_numpy(np.exp(-0.5 * (np.linspace(-4, 4, len(samples))) ** 2))
    spectrum = torch.fft.rfft(samples.double() * window).abs().log()
    peak = int(spectrum.argmax())
    left, middle, right = spectrum[peak - 1 : peak + 2].tolist()
    return float(peak + 0.5 * (left - right) / (left - 2 * middle + right)) * rate / len(samples)


# What is read is what was written


@pytest.mark.parametrize(
    ("name", "subtype", "step"),
    [
        ("a.wav", "PCM_16", 2**-15),
        ("a.wav", "PCM_U8", 2**-7),
        ("a.wav", "PCM_24", 2**-23),
        ("a.wav", "FLOAT", 0.0),
        ("a.wav", "DOUBLE", 0.0),
        ("a.flac", "PCM_16", 2**-15),
        ("a.aiff", "PCM_16", 2**-15),
    ],
)
def test_lossless_formats_give_the_samples_that_were_written(
    tmp_path: Path, name: str, subtype: str, step: float
) -> None:
    samples = sine(440, 16000, 0.1)
    clip = written(tmp_path / name, samples, 16000, subtype=subtype)
    assert probe(clip) == AudioInfo(16000, 1600, 1)
    read = read_audio(clip, 16000)
    assert read.dtype == torch.float32
    assert read.shape == (1600,)
    assert np.abs(read.numpy() - samples).max() <= step * 1.01  # 1 % for the rounding of float32 itself


@pytest.mark.parametrize(
    ("name", "rate", "options"),
    [
        ("a.ogg", 22050, {}),
        ("a.mp3", 44100, {}),
        ("a.mp3", 16000, {}),
        ("a.opus", 48000, {"format": "OGG", "subtype": "OPUS"}),
        ("a.opus", 16000, {"format": "OGG", "subtype": "OPUS"}),
    ],
)
def test_compressed_formats_keep_length_rate_and_tone(
    tmp_path: Path, name: str, rate: int, options: dict[str, str]
) -> None:
    clip = written(tmp_path / name, sine(440, rate, 2.0), rate, **options)
    assert probe(clip) == AudioInfo(rate, 2 * rate, 1)
    read, native = read_native(clip)
    assert (native, len(read)) == (rate, 2 * rate)
    assert loudest_hertz(read, rate) == pytest.approx(440, abs=0.2)
    middle = read[rate // 2 : -rate // 2]
    assert float(middle.square().mean().sqrt()) == pytest.approx(0.5 / math.sqrt(2), rel=0.05)


def test_channels_are_mixed_by_their_mean(tmp_path: Path) -> None:
    left, right = sine(440, 8000, 0.1), sine(660, 8000, 0.1)
    clip = written(tmp_path / "a.wav", np.stack([left, right, right], axis=1), 8000, subtype="FLOAT")
    assert probe(clip).channels == 3
    torch.testing.assert_close(read_audio(clip, 8000), torch.from_numpy((left + 2 * right) / 3))


def test_bytes_are_read_as_their_file_is(tmp_path: Path) -> None:
    for name in ("a.wav", "a.flac", "a.ogg", "a.mp3"):
        clip = written(tmp_path / name, sine(440, 16000, 0.5), 16000)
        assert clip.path is not None
        memory = AudioClip(data=clip.path.read_bytes())
        assert probe(memory) == probe(clip)
        assert torch.equal(read_audio(memory, 8000), read_audio(clip, 8000))


# Segments


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.opus"])
@pytest.mark.parametrize(("offset", "duration"), [(0.0, 0.5), (0.3, 0.25), (1.75, None), (2.0, 1.0), (2.9, 0.3)])
def test_a_segment_is_a_slice_of_the_whole(tmp_path: Path, name: str, offset: float, duration: float | None) -> None:
    rate = 16000
    chirp: Samples = np.sin(np.cumsum(np.linspace(0.05, 1.5, 3 * rate))).astype(np.float32)
    options = {"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}
    whole = read_audio(written(tmp_path / name, chirp, rate, **options), rate)
    end = len(whole) if duration is None else round((offset + duration) * rate)
    segment = read_audio(AudioClip(tmp_path / name, offset=offset, duration=duration), rate)
    tolerance = 3e-3 if name == "a.opus" else 1e-6  # it converges after a seek (RFC 7845, section 4.6)
    torch.testing.assert_close(segment, whole[round(offset * rate) : end], atol=tolerance, rtol=0)


def test_a_segment_of_a_variable_mp3_is_a_slice_too(tmp_path: Path) -> None:
    # Quiet frames are tiny, so that the bits of one lie many frames before it: what a bare seek doesn't find.
    rate = 44100
    clip = written(tmp_path / "a.mp3", sine(440, rate, 3.0), rate)
    with soundfile.SoundFile(tmp_path / "a.mp3") as file:
        file.seek(20000)
        bare = file.read(5000, dtype="float32")
    whole = read_native(clip)[0]
    assert np.abs(bare - whole[20000:25000].numpy()).max() > 0.1, "libsndfile mends this by now: no warm-up is needed"
    segment = read_native(AudioClip(clip.path, offset=20000 / rate, duration=5000 / rate))[0]
    torch.testing.assert_close(segment, whole[20000:25000], atol=1e-6, rtol=0)


def test_a_segment_that_ends_a_little_late_is_cut(tmp_path: Path) -> None:
    written(tmp_path / "a.wav", sine(440, 8000), 8000)
    assert len(read_audio(AudioClip(tmp_path / "a.wav", offset=0.5, duration=0.9), 8000)) == 4000


@pytest.mark.parametrize(
    ("offset", "duration", "message"),
    [
        (1.0, None, r"a\.wav \[1 s to the end\]: the segment starts at or beyond the end of the sound, at 1 s"),
        (7.0, 1.0, r"a\.wav \[7 s to 8 s\]: the segment starts at or beyond the end"),
        (0.5, 1.1, r"a\.wav \[0\.5 s to 1\.6 s\]: the segment ends beyond the end of the sound, at 1 s"),
        (0.5, 1e-5, "there is no sound in it: 0 frames"),
    ],
)
def test_a_segment_beyond_the_end_is_refused(
    tmp_path: Path, offset: float, duration: float | None, message: str
) -> None:
    written(tmp_path / "a.wav", sine(440, 8000), 8000)
    with pytest.raises(DataError, match=message):
        read_audio(AudioClip(tmp_path / "a.wav", offset=offset, duration=duration), 8000)


def test_clips_that_cannot_be_are_refused() -> None:
    with pytest.raises(DataError, match="needs a path, or the bytes"):
        AudioClip()
    for offset in (-0.1, math.nan):
        with pytest.raises(DataError, match="offset must be at least 0 seconds"):
            AudioClip(Path("a.wav"), offset=offset)
    for duration in (0.0, -1.0, math.inf):
        with pytest.raises(DataError, match=r"^a\.wav: duration must be above 0 seconds"):
            AudioClip(Path("a.wav"), duration=duration)


# Resampling


@pytest.mark.parametrize(
    ("rate", "new"), [(44100, 16000), (48000, 16000), (8000, 16000), (22050, 16000), (16000, 8000)]
)
def test_resampling_keeps_a_tone_and_its_level(tmp_path: Path, rate: int, new: int) -> None:
    read = read_audio(written(tmp_path / "a.wav", sine(1000, rate, 1.0), rate, subtype="FLOAT"), new)
    assert len(read) == new
    inner = slice(new // 10, -new // 10)  # the filter reaches over the ends, where there is silence
    expected = torch.from_numpy(sine(1000, new, 1.0))
    torch.testing.assert_close(read[inner], expected[inner], atol=1e-3, rtol=0)


def test_resampling_takes_out_what_the_new_rate_can_not_hold() -> None:
    high = torch.from_numpy(sine(9000, 44100))  # would be heard as 7,000 Hz at 16 kHz
    assert resample(high, 44100, 16000)[1600:-1600].abs().max() < 0.5 * 10 ** (-60 / 20)


def test_odd_rates_are_resampled_without_gigabytes_of_filters() -> None:
    for rate in (44099, 11023, 47999):
        resampled = resample(torch.from_numpy(sine(1000, rate)), rate, 16000)
        assert loudest_hertz(resampled, 16000) == pytest.approx(1000, rel=1e-3)
        assert abs(len(resampled) - 16000) <= 16


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 44099, 48000])
@pytest.mark.parametrize("frames", [1, 2, 440, 441, 442, 12345])
def test_the_length_after_resampling_is_known_before(rate: int, frames: int) -> None:
    assert resampled_length(frames, rate, 16000) == len(resample(torch.zeros(frames), rate, 16000))


# What can't be read is told in one line


def cut(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * share)])


def riff(size: int, data_size: int) -> bytes:
    """A mono WAV of 16-bit samples at 8 kHz: its header with these sizes, and one second of sound."""
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16)
    body = (sine(440, 8000) * 2**15).astype("<i2").tobytes()
    return struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + fmt + struct.pack("<4sI", b"data", data_size) + body


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.wav", r"truncated: its header says 32,044 bytes, the file has 16,022"),
        ("a.flac", r"can't be decoded: "),
        ("a.mp3", r"truncated or damaged: its header says 2 s, "),
    ],
)
def test_a_file_that_was_cut_is_refused(tmp_path: Path, name: str, message: str) -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 16000).astype(np.float32)
    clip = written(tmp_path / name, noise, 8000)
    cut(tmp_path / name, 0.5)
    with pytest.raises(DataError, match=rf"{name}: {message}") as caught:
        read_audio(clip, 8000)
    assert "\n" not in str(caught.value)


def test_only_whole_wavs_and_streams_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    for size, data_size in ((36 + 16000, 16000), (44 + 16000, 16000), (0xFFFFFFFF, 0xFFFFFFFF), (0, 0xFFFFFFFF)):
        path.write_bytes(riff(size, data_size))
        assert len(read_audio(AudioClip(path), 8000)) == 8000
    path.write_bytes(riff(36 + 32000, 32000))
    with pytest.raises(DataError, match="truncated: its header says 32,044 bytes, the file has 16,044"):
        probe(AudioClip(path))


def test_damage_within_a_file_is_refused(tmp_path: Path) -> None:
    clip = written(tmp_path / "a.flac", np.random.default_rng(1).uniform(-0.5, 0.5, 16000).astype(np.float32), 8000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    (tmp_path / "a.flac").write_bytes(data)
    assert probe(clip).frames == 16000
    with pytest.raises(DataError, match=r"a\.flac: can't be decoded: .*lost sync"):
        read_audio(clip, 8000)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_samples_that_are_not_numbers_are_refused(tmp_path: Path, value: float) -> None:
    samples = sine(440, 8000, 0.1)
    samples[17] = value
    with pytest.raises(DataError, match=r"a\.wav: has samples that aren't finite numbers"):
        read_audio(written(tmp_path / "a.wav", samples, 8000, subtype="FLOAT"), 8000)


def test_a_file_without_a_sample_is_refused(tmp_path: Path) -> None:
    clip = written(tmp_path / "a.wav", np.zeros(0, np.float32), 8000)
    assert probe(clip).frames == 0
    with pytest.raises(DataError, match=r"a\.wav: there is no sound in it: 0 frames"):
        read_audio(clip, 8000)


def test_what_is_no_sound_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("av", "torchcodec"):
        monkeypatch.setitem(sys.modules, package, None)  # as if it weren't installed
    (tmp_path / "text.wav").write_text("this is no sound" * 20)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "a.raw").write_bytes(bytes(1000))
    for name, message in (
        ("text.wav", r"can't be decoded: libsndfile can't read it \(Format not recognised\); `pip install av` reads"),
        ("empty.wav", "the file is empty"),
        ("a.raw", "raw samples have no header: convert the file to wav or flac"),
        ("none.wav", "there is no such file"),
        ("", "is a directory, not a sound file"),
    ):
        for function in (probe, read_native):
            with pytest.raises(DataError, match=message) as caught:
                function(AudioClip(tmp_path / name))
            assert str(caught.value).startswith(str(tmp_path / name))
            assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="sound of 4 bytes in memory: can't be decoded"):
        probe(AudioClip(data=b"none"))
    with pytest.raises(DataError, match="sound of 0 bytes in memory: the file is empty"):
        probe(AudioClip(data=b""))


def test_a_flac_of_unknown_length_is_left_to_other_decoders(tmp_path: Path) -> None:
    written(tmp_path / "a.flac", sine(440, 8000), 8000)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[8 + 13] &= 0xF0  # STREAMINFO's 36 bits of total samples (RFC 9639, section 8.2): 0 is unknown
    data[8 + 14 : 8 + 18] = bytes(4)
    with pytest.raises(DecodingError, match="its header doesn't say how long it is"):
        LibsndfileSound(bytes(data))


# The other decoders, where they are installed


def encoded(path: Path, samples: Samples, rate: int, codec: str) -> AudioClip:
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        size = stream.codec_context.frame_size or 960
        split = av.AudioResampler(format=stream.codec_context.format, layout="mono", rate=rate, frame_size=size)
        for part in [*split.resample(frame), *split.resample(None), None]:
            container.mux(stream.encode(part))
    return AudioClip(path)


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.webm", "libopus")])
def test_what_libsndfile_can_not_read_is_read_by_pyav(tmp_path: Path, name: str, codec: str) -> None:
    clip = encoded(tmp_path / name, sine(440, 48000, 2.0), 48000, codec)
    info, whole = probe(clip), read_native(clip)[0]
    assert (info.sample_rate, info.channels) == (48000, 1)
    assert info.seconds == pytest.approx(2.0, abs=0.05)
    assert loudest_hertz(read_audio(clip, 16000)[4000:20000], 16000) == pytest.approx(440, abs=0.5)
    assert clip.path is not None
    assert torch.equal(read_native(AudioClip(data=clip.path.read_bytes()))[0], whole)
    segment = read_native(AudioClip(clip.path, offset=0.5, duration=0.25))[0]
    assert torch.equal(segment, whole[24000:36000])

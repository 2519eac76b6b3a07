from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import espeakng_loader
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from core.errors import ConfigError
from tasks.asr.builtin_voices import VARIANTS
from tasks.asr.espeak import Manner, sample_rate, say, speak

TEXT = "set the alarm for seven thirty"
ROOT = Path(__file__).parents[3]


def in_fresh_process(script: str, folder: Path, loader: str | None = None) -> str:
    """Runs a script that may find a loader of its own, and gives what it prints."""
    if loader is not None:
        (folder / "espeakng_loader.py").write_text(loader)
    script = f"from tasks.asr.espeak import *\nfrom core.errors import ConfigError\nimport hashlib\n{script}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


def pitch_of(samples: NDArray[np.int16]) -> float:
    """The frequency at which most of the loudest half second repeats itself, in Hz."""
    energy = np.convolve(samples.astype(float) ** 2, np.ones(sample_rate() // 2), "valid")
    loud = samples[energy.argmax() :][: sample_rate() // 2].astype(float)
    spectrum = np.abs(np.fft.rfft(loud, 2 * len(loud))) ** 2
    repeats = np.fft.irfft(spectrum)[: len(loud)]
    shortest = sample_rate() // 500
    return sample_rate() / (shortest + float(repeats[shortest : sample_rate() // 50].argmax()))


def test_a_sentence_is_as_long_as_its_rate_says() -> None:
    slow, fast = (len(say(TEXT, Manner(rate=rate))) / sample_rate() for rate in (100, 200))
    assert 6 / fast * 60 == pytest.approx(200, rel=0.25)
    assert 1.6 < slow / fast < 2.4


def test_twice_as_many_words_take_longer() -> None:
    assert len(say(f"{TEXT} {TEXT}", Manner())) > 1.7 * len(say(TEXT, Manner()))


def test_the_pitch_follows_the_option_and_the_voice() -> None:
    low, high = (pitch_of(say(TEXT, Manner(pitch=pitch, range=0))) for pitch in (20, 80))
    assert high > 1.3 * low
    man, woman = (pitch_of(say(TEXT, Manner(f"en-us+{name}", range=0))) for name in ("m3", "f3"))
    assert 60 < man < 130 < woman < 260


@pytest.mark.parametrize("variant", [name for names in VARIANTS.values() for name in names])
def test_no_voice_is_clipped_or_silent(variant: str) -> None:
    """Near the end of the range the library turns itself down."""
    samples = say(TEXT, Manner(f"en-gb+{variant}", rate=200, pitch=65)).astype(int)
    assert 3_000 < np.abs(samples).max() < 30_000
    assert samples.std() > 300


def test_fresh_processes_say_the_same(tmp_path: Path) -> None:
    """Among them voices with breath, which the library would begin with the clock's second."""
    voices = ("en-us", "en-us+david", "en-us+f3", "en-us+f5")
    script = f"for v in {voices}: print(hashlib.md5(say({TEXT!r}, Manner(v))).hexdigest())"
    once = in_fresh_process(script, tmp_path)
    time.sleep(1)
    assert once == in_fresh_process(script, tmp_path)
    assert len(set(once.split())) == len(voices)


def test_a_text_becomes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "hello.wav"
    speak(TEXT, path, voice="en-gb-scotland+f3", rate=150, pitch=60)
    samples, rate = soundfile.read(path, dtype="int16")
    assert rate == sample_rate() == 22_050
    assert len(samples) == len(say(TEXT, Manner("en-gb-scotland+f3", 150, 60)))


@pytest.mark.parametrize(
    ("voice", "message"),
    [
        ("xx-yy", r"no voice 'xx-yy'"),
        ("", r"no voice ''"),
        ("en-us+nobody", r"no variant 'nobody'"),
        ("en-us+", r"no variant ''"),
    ],
)
def test_a_voice_that_does_not_exist_is_refused(voice: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        say(TEXT, Manner(voice))


@pytest.mark.parametrize("text", ["", "  ", "..."])
def test_nothing_to_say_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="nothing to say"):
        say(text, Manner())


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="rate must be from 80 to 450, got 20"):
        Manner(rate=20)
    with pytest.raises(ConfigError, match="pitch must be from 0 to 99, got 100"):
        Manner(pitch=100)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names no format of sound"):
        speak(TEXT, tmp_path / "hello.doc")


CATCH = "try: say('one', Manner())\nexcept ConfigError as error: print(error)"


def test_a_missing_wheel_is_told(tmp_path: Path) -> None:
    told = in_fresh_process(CATCH, tmp_path, "raise ImportError")
    assert 'pip install "polyseq[speech]"' in told


@pytest.mark.parametrize("library", ["nowhere.so", espeakng_loader.get_library_path()])
def test_a_broken_wheel_is_told(library: str, tmp_path: Path) -> None:
    loader = f"def get_library_path(): return {library!r}\ndef get_data_path(): return {str(tmp_path)!r}"
    told = in_fresh_process(CATCH, tmp_path, loader)
    assert told.startswith("espeak-ng ")
    assert 'pip install "polyseq[speech]"' in told


def test_data_far_down_is_found(tmp_path: Path) -> None:
    """The library cuts longer paths off."""
    data = tmp_path / ("a" * 100) / ("b" * 100) / "espeak-ng-data"
    data.parent.mkdir(parents=True)
    data.symlink_to(espeakng_loader.get_data_path())
    loader = f"def get_library_path(): return {espeakng_loader.get_library_path()!r}\n"
    loader += f"def get_data_path(): return {str(data)!r}"
    said = in_fresh_process("print(len(say('one', Manner('en-us+f3'))))", tmp_path, loader)
    assert int(said) > 2_000

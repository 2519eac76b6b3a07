"""Speech from text by eSpeak NG: the shared library of the wheel `espeakng-loader`, called through ctypes.

The library keeps its state in globals, and the noise of its consonants goes on from sentence to sentence: the same
sentences in the same order give the same samples, in a fresh process only.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from core.errors import ConfigError

# Names and values of espeak-ng/speak_lib.h, version 1.52.
_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples go to the callback before espeak_Synth returns
_DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: report missing data instead of ending the process
_UTF8 = 1  # espeakCHARS_UTF8
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_HEADROOM = 40  # volume in percent: at 100 some voices are loud enough to be turned down in mid-word
_PATH_SIZE = 159  # bytes of the data's path that the library keeps (N_PATH_HOME)
_FILES = {"en-gb": "en"}  # the library chooses by file name; here the two differ
_MEND = 'pip install "polyseq[speech]"'

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Manner:
    """How something is said.

    Attributes:
        voice: a language and perhaps a variant of the voice: en-us, en-gb-scotland+f3.
        rate: words a minute, 80 to 450.
        pitch: of the voice, 0 to 99, 50 as it is.
        range: how far the pitch moves, 0 (monotone) to 99, 50 as it is.

    Raises:
        ConfigError: a number is out of its range.
    """

    voice: str = "en-us"
    rate: int = 160
    pitch: int = 50
    range: int = 50

    def __post_init__(self) -> None:
        for name, low, high in (("rate", 80, 450), ("pitch", 0, 99), ("range", 0, 99)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} must be from {low} to {high}, got {getattr(self, name)}")


class _Library:
    """The shared library, ready to speak; one a process."""

    def __init__(self, library: Path, data: Path) -> None:
        try:
            self.calls = ctypes.CDLL(str(library))
        except OSError as error:
            raise ConfigError(f"espeak-ng can't be loaded: {error}; mend: {_MEND}") from None
        self.link = None if len(str(data).encode()) <= _PATH_SIZE else _link(data)  # read from as long as we speak
        near = data if self.link is None else Path(self.link.name, data.name)
        self.sample_rate: int = self.calls.espeak_Initialize(_SYNCHRONOUS, 0, str(near).encode(), _DONT_EXIT)
        if self.sample_rate <= 0:
            raise ConfigError(f"espeak-ng finds no data in {data}; mend: {_MEND}")
        self.calls.espeak_ng_SetRandSeed(1)  # of some voices' breath; else it is the clock's second
        self.data = data
        self.samples = bytearray()
        self.callback = _Callback(self._receive)  # kept: the library holds only its address
        self.calls.espeak_SetSynthCallback(self.callback)

    def _receive(self, samples: int | None, count: int, _: int | None) -> int:
        if samples and count:
            self.samples.extend(ctypes.string_at(samples, 2 * count))
        return 0

    def choose(self, manner: Manner) -> None:
        """Sets voice, rate and pitch for what follows."""
        language, plus, variant = manner.voice.partition("+")
        if plus and not (self.data / "voices" / "!v" / variant).is_file():  # it would fall back without a word
            raise ConfigError(
                f"espeak-ng has no variant {variant!r} (voice {manner.voice!r}); m1 to m8 and f1 to f5 exist"
            )
        name = _FILES.get(language, language) + plus + variant
        if not language or self.calls.espeak_SetVoiceByName(name.encode()):
            raise ConfigError(f"espeak-ng has no voice {manner.voice!r}; en-us, en-gb and en-us+f3 are some")
        for parameter, value in (
            *((_RATE, manner.rate), (_VOLUME, _HEADROOM)),
            *((_PITCH, manner.pitch), (_RANGE, manner.range)),
        ):
            self.calls.espeak_SetParameter(parameter, value, 0)


def _link(data: Path) -> TemporaryDirectory[str]:
    """A directory with a short path that holds a link to the data; it goes with the process."""
    folder = TemporaryDirectory(prefix="espeak")
    Path(folder.name, data.name).symlink_to(data.resolve())
    return folder


@cache
def _library() -> _Library:
    try:
        import espeakng_loader
    except ImportError:
        raise ConfigError(f"speech is synthesised by espeakng-loader, which isn't installed; mend: {_MEND}") from None
    return _Library(Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path()))


def sample_rate() -> int:
    """Samples a second that `say` gives: 22,050.

    Raises:
        ConfigError: espeak-ng isn't installed.
    """
    return _library().sample_rate


def say(text: str, manner: Manner) -> NDArray[np.int16]:
    """Synthesises a text.

    Returns:
        samples (S,), mono, at `sample_rate()`.

    Raises:
        ConfigError: espeak-ng isn't installed, there is no such voice, or there is nothing to say.
    """
    library = _library()
    library.choose(manner)
    library.samples.clear()
    content = text.encode() + b"\0"
    library.calls.espeak_Synth(content, len(content), 0, 0, 0, _UTF8, None, None)
    samples = np.frombuffer(bytes(library.samples), np.int16)
    if not samples.any():
        raise ConfigError(f"there is nothing to say in {text!r}")
    return samples


def speak(text: str, path: Path, voice: str = "en-us", rate: int = 160, pitch: int = 50) -> None:
    """Writes a text as speech, in the format that the path's suffix names: wav, flac, ogg, mp3.

    Args:
        text: what to say.
        path: the file; its directory is made if needed.
        voice: a language and perhaps a variant: en-us, en-gb-scotland+f3.
        rate: words a minute.
        pitch: 0 to 99.

    Raises:
        ConfigError: as `say`, or the format isn't known.
    """
    import soundfile

    if path.suffix[1:].upper() not in soundfile.available_formats():
        raise ConfigError(f"{path}: the suffix names no format of sound; wav and flac are some")
    samples = say(text, Manner(voice, rate, pitch))
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, sample_rate())

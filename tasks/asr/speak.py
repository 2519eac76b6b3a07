"""`python -m tasks.asr speak`: a sound file to try a recogniser on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tasks.asr.espeak import speak


def main(arguments: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        ConfigError: espeak-ng isn't installed, there is no such voice, or the file's format is unknown.
    """
    parser = argparse.ArgumentParser(prog="python -m tasks.asr speak", description=__doc__)
    parser.add_argument("text", help="what to say")
    parser.add_argument("output", type=Path, help="the file: .wav, .flac, .ogg or .mp3")
    parser.add_argument("--voice", default="en-us", help="a language and perhaps a variant: en-gb-scotland+f3")
    parser.add_argument("--rate", type=int, default=160, help="words a minute")
    parser.add_argument("--pitch", type=int, default=50, help="0 to 99")
    options = parser.parse_args(arguments)
    speak(options.text, options.output, options.voice, options.rate, options.pitch)
    print(f"spoken: {options.output}")

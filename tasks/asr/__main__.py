"""`python -m tasks.asr fit|validate|test|predict`, and `speak`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.cli import main

if TYPE_CHECKING:
    from core.task import Task


def load() -> Task:
    """Imports what trains."""
    from core.data.audio_datamodule import AudioDataModule
    from core.decoders.recurrent import RecurrentDecoder
    from core.decoders.transformer import TransformerDecoder
    from core.encoders.conformer import ConformerEncoder
    from core.encoders.pretrained_speech import PretrainedSpeechEncoder
    from core.encoders.pyramidal import PyramidalEncoder
    from core.encoders.speech_transformer import SpeechTransformerEncoder
    from core.task import Task
    from tasks.asr.module import AsrModule
    from tasks.asr.predict import SpeechPredictOptions, predict_speech

    encoders = (PyramidalEncoder, SpeechTransformerEncoder, ConformerEncoder, PretrainedSpeechEncoder)
    parts = (*encoders, RecurrentDecoder, TransformerDecoder)
    return Task(AsrModule, AudioDataModule, SpeechPredictOptions, predict_speech, parts)


def speak(arguments: Sequence[str]) -> None:
    """Imports what speaks."""
    from tasks.asr.speak import main as say

    say(arguments)


if __name__ == "__main__":
    main("asr", load, {"speak": ('let the machine speak into a file: speak "a text" OUTPUT.wav', speak)})

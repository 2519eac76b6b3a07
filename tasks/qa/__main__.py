"""`python -m tasks.qa fit|validate|test|predict`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.cli import main

if TYPE_CHECKING:
    from core.task import Task


def load() -> Task:
    """Imports what trains."""
    from core.decoders.recurrent import RecurrentDecoder
    from core.decoders.transformer import TransformerDecoder
    from core.encoders.pretrained_text import PretrainedTextEncoder
    from core.encoders.recurrent import RecurrentEncoder
    from core.encoders.transformer import TransformerEncoder
    from core.task import Task
    from tasks.qa.attentive_encoder import AttentiveEncoder
    from tasks.qa.data import QaData
    from tasks.qa.module import QaModule
    from tasks.qa.predict import QaPredictOptions, answer_questions
    from tasks.qa.story_encoder import StoryEncoder

    encoders = (StoryEncoder, AttentiveEncoder, TransformerEncoder, RecurrentEncoder, PretrainedTextEncoder)
    parts = (*encoders, TransformerDecoder, RecurrentDecoder)
    return Task(QaModule, QaData, QaPredictOptions, answer_questions, parts)


if __name__ == "__main__":
    main("qa", load)

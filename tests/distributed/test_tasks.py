"""Each task trains on two ranks as in one process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.asr.__main__ import load as asr
from tasks.captioning.__main__ import load as captioning
from tasks.dialogue.__main__ import load as dialogue
from tasks.mt.__main__ import load as mt
from tasks.qa.__main__ import load as qa
from tasks.summarization.__main__ import load as summarization
from tests.core.tiny import tiny_options as translation_options
from tests.core.tiny import write_corpus
from tests.distributed.runs import TRAINING, Tried, furthest, train, unite
from tests.tasks.asr.tiny import tiny_speech_options, write_sounds
from tests.tasks.captioning.tiny import tiny_options as scene_options
from tests.tasks.captioning.tiny import write_scenes
from tests.tasks.dialogue.tiny import tiny_options as dialogue_options
from tests.tasks.dialogue.tiny import write_dialogues
from tests.tasks.qa.tiny import question_options, write_questions
from tests.tasks.summarization.tiny import tiny_options as summary_options
from tests.tasks.summarization.tiny import write_dialogues as write_summaries

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SMALL = {"d_model": 16, "num_heads": 2, "ffn_size": 32, "dropout": 0.0}


def generating_options(folder: Path) -> list[str]:
    """A small model that writes the answers to questions."""
    parts = [f"--model.{part}.{name}={value}" for part in ("encoder", "decoder") for name, value in SMALL.items()]
    return [*question_options(folder), *parts, "--data.batch_tokens=512"]


def pointing_options(folder: Path) -> list[str]:
    """A small model that points at the answers."""
    encoder = [f"--model.encoder.{name}={value}" for name, value in {**SMALL, "num_layers": 1}.items()]
    form = ["--model.answer=span", "--model.encoder=core.encoders.transformer.TransformerEncoder"]
    return [*question_options(folder), *form, *encoder, "--data.batch_tokens=512"]


@dataclass(frozen=True)
class Trained(Tried):
    """A training of a task, and options that the others don't have."""

    more: tuple[str, ...] = ()


SAMPLING = ("--model.objective=core.objectives.ScheduledSampling", "--model.objective.length=1")
TRIED = {
    "mt": Trained("mt", mt, write_corpus, translation_options),
    "mt, scheduled sampling": Trained("mt", mt, write_corpus, translation_options, SAMPLING),
    "mt, token by token": Trained(
        "mt", mt, write_corpus, translation_options, (*SAMPLING, "--model.objective.rollout=stepwise")
    ),
    "mt, tied": Trained("mt", mt, write_corpus, translation_options, ("--model.tie_embeddings=true",)),
    "summarization": Trained("summarization", summarization, write_summaries, summary_options),
    "dialogue": Trained("dialogue", dialogue, write_dialogues, dialogue_options),
    "asr": Trained("asr", asr, write_sounds, tiny_speech_options),
    "asr, CTC alone": Trained("asr", asr, write_sounds, tiny_speech_options, ("--model.objective.ctc_weight=1.0",)),
    "asr, attention alone": Trained("asr", asr, write_sounds, tiny_speech_options, ("--model.objective.ctc_weight=0",)),
    "captioning": Trained(
        "captioning", captioning, write_scenes, scene_options, ("--model.encoder.projection.dropout=0",)
    ),
    "qa, written": Trained("qa", qa, write_questions, generating_options),
    "qa, spans": Trained("qa", qa, write_questions, pointing_options),
}


ACCUMULATED = ("mt, scheduled sampling", "asr, CTC alone", "qa, spans")


@pytest.mark.parametrize(
    ("name", "accumulated"), [*((name, 1) for name in TRIED), *((name, 2) for name in ACCUMULATED)], ids=str
)
def test_two_ranks_train_as_one_process(
    name: str, accumulated: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = TRIED[name]
    tried.write(tmp_path)
    options = [*tried.options(tmp_path), *TRAINING, *tried.more]
    more = [f"--trainer.accumulate_grad_batches={accumulated}"]
    two = train(tried.task, tried.load, tmp_path / "two", 2, [*options, *more])
    unite(monkeypatch, ranks=2, steps=accumulated)
    one = train(tried.task, tried.load, tmp_path / "one", 1, options)
    distance, where = furthest(one, two)
    assert distance <= 1e-5, f"{where} differs by {distance}"

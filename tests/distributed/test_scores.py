"""Each task's scores are the same on two and three ranks as in one process, to the last digit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tasks.asr.__main__ import load as asr
from tasks.captioning.__main__ import load as captioning
from tasks.dialogue.__main__ import load as dialogue
from tasks.qa.__main__ import load as qa
from tasks.summarization.__main__ import load as summarization
from tests.distributed.runs import Tried, score, train
from tests.distributed.test_tasks import generating_options, pointing_options
from tests.tasks.asr.tiny import tiny_speech_options, write_sounds
from tests.tasks.captioning.tiny import tiny_options as scene_options
from tests.tasks.captioning.tiny import write_scenes
from tests.tasks.dialogue.tiny import tiny_options as dialogue_options
from tests.tasks.dialogue.tiny import write_dialogues
from tests.tasks.qa.tiny import write_questions
from tests.tasks.summarization.tiny import tiny_options as summary_options
from tests.tasks.summarization.tiny import write_dialogues as write_summaries

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@dataclass(frozen=True)
class Scored(Tried):
    """A task, and an option of evaluation by which each example is a batch."""

    alone: str = "--data.eval_batch_tokens=1"


TRIED = {
    "asr": Scored("asr", asr, write_sounds, tiny_speech_options, "--data.eval_batch_seconds=0.01"),
    "captioning": Scored("captioning", captioning, write_scenes, scene_options, "--data.eval_batch_size=1"),
    "dialogue": Scored("dialogue", dialogue, write_dialogues, dialogue_options),
    "summarization": Scored("summarization", summarization, write_summaries, summary_options),
    "qa, written": Scored("qa", qa, write_questions, generating_options),
    "qa, spans": Scored("qa", qa, write_questions, pointing_options),
}
TRAINING = ["--trainer.max_steps=40", "--trainer.limit_val_batches=0", "--trainer.logger=false", "--fit.ema_decay=0"]
LOSS = ("loss", "perplexity", "word_perplexity")  # float32 sums of differently padded batches
# A time, and what a Java process writes on rank zero, or isn't there to write, from texts that are compared anyway.
NOT_OURS = ("rtf", "meteor")


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIED)
def test_ranks_score_as_one_process(name: str, tmp_path: Path) -> None:
    tried = TRIED[name]
    tried.write(tmp_path)
    train(tried.task, tried.load, tmp_path, 1, [*tried.options(tmp_path), *TRAINING])
    checkpoint = tmp_path / tried.task / "one" / "last.ckpt"
    one = score(tried.task, tried.load, checkpoint, 1, [])
    # Three ranks share one batch or two, so that one of them sees what another has seen; two share an odd number.
    for ranks, options in ((3, []), (2, [tried.alone])):
        found = score(tried.task, tried.load, checkpoint, ranks, options)
        losses = {key: value for key, value in one["scores"].items() if key in LOSS}
        assert {key: found["scores"][key] for key in losses} == pytest.approx(losses, rel=1e-6)
        exact = {key: value for key, value in one["scores"].items() if key not in (*losses, *NOT_OURS)}
        assert {key: found["scores"][key] for key in exact} == exact
        assert found["scores"].keys() == one["scores"].keys()
        assert found["examples"] == one["examples"]
        assert found["lines"] == one["lines"]

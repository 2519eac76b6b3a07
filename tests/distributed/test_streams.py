"""Two ranks that read a stream: each example once, stand-ins that weigh nothing, and on from where they stopped."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from core.batch import Seq2SeqBatch
from core.data.streaming import StreamedText
from core.data.text_datamodule import TextDataModule
from core.tokenization import TokenizerOptions
from tasks.mt.__main__ import load as mt
from tasks.summarization.__main__ import load as summarization
from tests.core.data.streams import write
from tests.core.data.test_resume import Recorder, fit
from tests.core.tiny import tiny_options, write_corpus
from tests.distributed.runs import TRAINING, furthest, train
from tests.tasks.summarization.tiny import tiny_options as summary_options
from tests.tasks.summarization.tiny import write_dialogues as write_summaries

if TYPE_CHECKING:
    from core.cli import Load

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

Seen = list[list[str]]


class StreamRecorder(Recorder):
    """Leaves behind what each rank sees: of each batch the sources, none of one that doesn't count."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.sources = name, Seen()

    def training_step(self, batch: Seq2SeqBatch, batch_idx: int) -> Tensor:
        self.sources.append(list(batch.source_texts) if batch.counts else [])
        return super().training_step(batch, batch_idx)

    def on_fit_end(self) -> None:
        path = Path(self.trainer.default_root_dir, f"{self.name}{self.global_rank}.json")
        path.write_text(json.dumps(self.sources))


def seen_by_two(
    folder: Path, name: str, checkpoint: ModelCheckpoint | None, resume: Path | None, **options: Any
) -> Any:
    """What two ranks see, by rank."""
    corpus = StreamedText(
        str(folder / "d" / "*.jsonl"), val=str(folder / "d" / "train-1.jsonl"), shuffle_buffer=25, tokenizer_sample=50
    )
    data = TextDataModule(
        corpus, TokenizerOptions(kind="bpe", vocab_size=300), batch_tokens=40, cache_dir=folder / "cache"
    )
    two: dict[str, Any] = {"strategy": "ddp_fork", "devices": 2, "limit_val_batches": 0, "max_epochs": -1}
    fit(folder, StreamRecorder(name), data, checkpoint, resume, **(two | options))
    return [json.loads((folder / f"{name}{rank}.json").read_text()) for rank in range(2)]


def test_two_ranks_see_each_example_once_an_epoch_and_go_on_where_they_were(tmp_path: Path) -> None:
    sources = write(tmp_path / "d", [70, 21])
    whole = seen_by_two(tmp_path, "whole", None, None, max_steps=50)
    assert len(whole[0]) == len(whole[1]) == 50
    read: list[str] = []
    for step in zip(*whole, strict=True):
        read += [text for texts in step for text in texts]
        if len(read) == len(sources):
            break
    assert Counter(read) == Counter(sources)
    assert any(not texts for rank in whole for texts in rank), "one rank has no example left before the other"

    checkpoint = ModelCheckpoint(tmp_path / "saved", save_last=False, save_top_k=1, every_n_train_steps=7)
    seen_by_two(tmp_path, "part", checkpoint, None, max_steps=9)
    rest = seen_by_two(tmp_path, "rest", None, Path(checkpoint.best_model_path), max_steps=50)
    assert rest == [rank[7:] for rank in whole]


def streamed(folder: Path, options: list[str], empty: bool) -> list[str]:
    """The options of a task that reads a folder's train.jsonl as a stream; with an empty file beside it or not."""
    data = folder / ("two" if empty else "one")
    data.mkdir()
    (data / "a.jsonl").write_bytes((folder / "train.jsonl").read_bytes())
    if empty:
        (data / "b.jsonl").write_bytes(b"")
    others = [option for option in options if not option.startswith("--data.corpus")]
    corpus = {"train": f"{data}/*.jsonl", "val": folder / "train.jsonl", "shuffle_buffer": 100}
    named = [f"--data.corpus.{name}={value}" for name, value in corpus.items()]
    columns = [option for option in options if "_column" in option]
    return [*others, "--data.corpus=core.data.streaming.StreamedText", *named, *columns]


def translation(folder: Path) -> list[str]:
    write_corpus(folder)
    sides = [(folder / f"train.{language}").read_text().splitlines() for language in ("en", "de")]
    pairs = zip(*sides, strict=True)
    lines = (json.dumps({"source": source, "target": target}) + "\n" for source, target in pairs)
    (folder / "train.jsonl").write_text("".join(lines))
    return tiny_options(folder)


def summaries(folder: Path) -> list[str]:
    write_summaries(folder)
    return summary_options(folder)


@pytest.mark.parametrize(
    ("task", "load", "options"), [("mt", mt, translation), ("summarization", summarization, summaries)]
)
def test_batches_that_stand_in_weigh_nothing(task: str, load: Load, options: Any, tmp_path: Path) -> None:
    given = options(tmp_path)
    two = train(task, load, tmp_path / "a", 2, [*streamed(tmp_path, given, empty=True), *TRAINING])
    one = train(task, load, tmp_path / "b", 1, [*streamed(tmp_path, given, empty=False), *TRAINING])
    distance, where = furthest(one, two)
    assert distance <= 1e-6, f"{where} differs by {distance}"

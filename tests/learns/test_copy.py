"""The copy task is learnt within half a minute of one thread, by what trains real models."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from lightning.pytorch import Trainer

from core.data.corpus import Corpus, Split, TextPair, numbered
from core.data.text_datamodule import TextDataModule
from core.decoders.transformer import TransformerDecoder
from core.encoders.transformer import TransformerEncoder
from core.generation import GenerationOptions
from core.objectives import CrossEntropy, Objective, ScheduledSampling
from core.optim import Schedule
from core.tokenization import TokenizerOptions
from tasks.mt.module import MtModule

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Copies(Corpus):
    """Rows of 4 to 10 words out of 40, which are their own translation."""

    sizes: dict[Split, int] = {"train": 4000, "val": 200, "test": 200}  # noqa: RUF012

    def read(self, split: Split) -> list[TextPair]:
        rng = random.Random(split)
        words = [f"w{number}" for number in range(40)]
        rows = [" ".join(rng.choices(words, k=rng.randint(4, 10))) for _ in range(self.sizes[split])]
        return numbered(rows, rows)


def train(folder: Path, objective: Objective, steps: int) -> dict[str, float]:
    """Trains a Transformer of 2+2 layers and returns the scores of the validation split after the last update."""
    data = TextDataModule(Copies(), TokenizerOptions(kind="words", vocab_size=100), batch_tokens=1024, cache_dir=folder)
    size: dict[str, Any] = {"d_model": 64, "num_layers": 2, "num_heads": 4, "ffn_size": 128, "dropout": 0.0}
    torch.manual_seed(1)
    module = MtModule(
        data.source_size,
        data.vocabularies,
        partial(TransformerEncoder, **size),
        partial(TransformerDecoder, **size),
        objective,
        partial(torch.optim.AdamW, lr=0.005, betas=(0.9, 0.98), weight_decay=0.0),
        Schedule("linear", warmup_steps=50, total_steps=steps),
        GenerationOptions(max_length=15),
        tie_embeddings=True,
    )
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=1,
        max_epochs=-1,
        max_steps=steps,
        val_check_interval=steps,
        check_val_every_n_epoch=None,
        gradient_clip_val=1.0,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, data)
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def test_the_copy_task_is_learnt(tmp_path: Path) -> None:
    assert train(tmp_path, CrossEntropy(label_smoothing=0.0), steps=400)["val/bleu"] >= 99


@pytest.mark.parametrize("rollout", ["parallel", "stepwise"])
def test_scheduled_sampling_does_no_harm(tmp_path: Path, rollout: Literal["parallel", "stepwise"]) -> None:
    objective = ScheduledSampling(rollout, "linear", length=200, floor=0.7, label_smoothing=0.0)
    assert train(tmp_path, objective, steps=200)["val/bleu"] >= 92

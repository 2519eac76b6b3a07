"""Dialogues of three turns, the middle one of which says what somebody likes, and options to learn them in seconds."""

from __future__ import annotations

import json
import random
from pathlib import Path

NAMES = ("Anna", "Ben", "Carl", "Dora")
THINGS = ("tea", "cheese", "music", "rain")


def write_dialogues(folder: Path) -> None:
    """Writes {train,val,test}.jsonl; the test has two references a dialogue."""
    rng = random.Random(1)
    for split, size in (("train", 200), ("val", 12), ("test", 12)):
        rows = []
        for _ in range(size):
            (first, second), thing = rng.sample(NAMES, 2), rng.choice(THINGS)
            dialogue = f"{first}: hello.\n{second}: I like {thing}.\n{first}: goodbye."
            summary = f"{second} likes {thing} ."
            targets = ["Nobody likes anything .", summary] if split == "test" else summary
            rows.append(json.dumps({"dialogue": dialogue, "summary": targets}))
        (folder / f"{split}.jsonl").write_text("\n".join(rows))


def dialogue_options(folder: Path) -> list[str]:
    """Options that make a run read the dialogues of a folder."""
    options = [f"--data.corpus.{split}={folder / f'{split}.jsonl'}" for split in ("train", "val", "test")]
    columns = ["--data.corpus.source_column=dialogue", "--data.corpus.target_column=summary"]
    return ["--data.corpus=core.data.records.JsonlCorpus", *options, *columns, f"--data.cache_dir={folder / 'cache'}"]


def tiny_options(folder: Path) -> list[str]:
    """Options of a run of seconds on the dialogues of a folder."""
    sizes = {"d_model": 32, "num_layers": 1, "num_heads": 2, "ffn_size": 64, "dropout": 0.0}
    parts = [f"--model.{part}.{name}={value}" for part in ("encoder", "decoder") for name, value in sizes.items()]
    others = {
        "data.tokenizer.kind": "words",
        "data.batch_tokens": 512,
        "model.optimizer.lr": 0.01,
        "model.schedule.warmup_steps": 10,
        "model.generation.min_length": 1,
        "trainer.max_steps": 120,
        "trainer.val_check_interval": 60,
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
        "trainer.precision": "32-true",
    }
    return [*dialogue_options(folder), *parts, *(f"--{name}={value}" for name, value in others.items())]

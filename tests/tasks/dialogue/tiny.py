"""A corpus and options with which dialogue trains in seconds."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

CITIES = ("rome", "paris", "london", "madrid")


def write_dialogues(folder: Path, train: int = 60, others: int = 6) -> None:
    """Writes {train,val,test}.jsonl: somebody orders, and the system repeats what was ordered."""
    rng = Random(1)
    for split, size in (("train", train), ("val", others), ("test", others)):
        lines = []
        for _ in range(size):
            city, count = rng.choice(CITIES), rng.randint(2, 5)
            turns = [["U", f"a table in {city}"], ["S", f"in {city} , for how many ?"]]
            turns += [["U", f"{count} please"], ["S", f"{count} in {city}"]]
            lines.append(json.dumps({"turns": turns, "knowledge": ["i book tables"]}) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")


def corpus_options(folder: Path) -> list[str]:
    """Options that make a run read the dialogues of a folder."""
    files = [f"--data.corpus.{split}={folder / split}.jsonl" for split in ("train", "val", "test")]
    return ["--data.corpus=tasks.dialogue.readers.JsonlDialogues", *files, f"--data.cache_dir={folder / 'cache'}"]


def tiny_options(folder: Path) -> list[str]:
    """Options of a run of seconds: a small model, words, one process."""
    sizes = {"d_model": 32, "num_layers": 1, "num_heads": 2, "ffn_size": 32, "dropout": 0.0}
    parts = [f"--model.{part}.{name}={value}" for part in ("encoder", "decoder") for name, value in sizes.items()]
    others = {
        "data.tokenizer.kind": "words",
        "data.batch_tokens": 400,
        "model.generation.max_length": 12,
        "model.generation.beam_size": 2,
        "model.objective.label_smoothing": 0.0,
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
        "trainer.log_every_n_steps": 10,
        "trainer.max_steps": 80,
        "trainer.val_check_interval": 80,
        "model.optimizer.lr": 0.01,
        "model.schedule.warmup_steps": 10,
    }
    return [*corpus_options(folder), *parts, *(f"--{name}={value}" for name, value in others.items())]

"""A corpus and options with which the command line trains in seconds."""

from __future__ import annotations

import random
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGLISH = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
GERMAN = ("eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun", "zehn")


def write_corpus(folder: Path, train: int = 300, others: int = 21) -> None:
    """Writes numbers in words, two to seven a line: {train,val,test}.{en,de}."""
    rng = random.Random(1)
    for split, size in (("train", train), ("val", others), ("test", others)):
        rows = [[rng.randrange(10) for _ in range(rng.randint(2, 7))] for _ in range(size)]
        for language, words in (("en", ENGLISH), ("de", GERMAN)):
            text = "".join(" ".join(words[digit] for digit in row) + "\n" for row in rows)
            (folder / f"{split}.{language}").write_text(text, encoding="utf-8")


def corpus_options(folder: Path) -> list[str]:
    """Options that make a run read the corpus of a folder."""
    corpus = {"folder": folder, "source": "en", "target": "de", "test": "test"}
    named = [f"--data.corpus.{name}={value}" for name, value in corpus.items()]
    return ["--data.corpus=core.data.text.AlignedText", *named, f"--data.cache_dir={folder / 'cache'}"]


def tiny_options(folder: Path) -> list[str]:
    """Options of a run of seconds on the corpus of a folder: a small model, words, one process."""
    sizes = {"d_model": 16, "num_layers": 1, "num_heads": 2, "ffn_size": 32, "dropout": 0.0}
    parts = [f"--model.{part}.{name}={value}" for part in ("encoder", "decoder") for name, value in sizes.items()]
    others = {
        "data.tokenizer.kind": "words",
        "data.batch_tokens": 128,
        "model.generation.max_length": 12,
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
        "trainer.log_every_n_steps": 2,
        "model.schedule.warmup_steps": 10,
    }
    return [*corpus_options(folder), *parts, *(f"--{name}={value}" for name, value in others.items())]

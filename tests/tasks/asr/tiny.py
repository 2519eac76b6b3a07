"""Sounds that stand for words, and options with which the command line learns them in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

RATE = 8000
TONES = {"do": 400, "re": 700, "mi": 1200, "fa": 2000}  # a word is one tone, in Hz


def sound(words: list[str], random: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """A tone of 0.2 s for each word, with pauses between, at a random level, in faint noise."""
    parts = [np.zeros(RATE // 10)]
    for word in words:
        times = np.arange(RATE // 5) / RATE
        parts += [np.sin(2 * np.pi * TONES[word] * times), np.zeros(RATE // 10)]
    wave = np.concatenate(parts) * random.uniform(0.1, 0.5)
    return (wave + random.normal(0, 1e-4, len(wave))).astype(np.float32)


def write_sounds(folder: Path, train: int = 48, others: int = 7) -> None:
    """Writes {train,val,test}.jsonl and their sounds: one to four words each, by two speakers."""
    random = np.random.default_rng(1)
    for split, size in (("train", train), ("val", others), ("test", others)):
        rows = []
        for number in range(size):
            words = random.choice(list(TONES), size=random.integers(1, 5)).tolist()
            path = folder / f"{split}-{number}.wav"
            soundfile.write(path, sound(words, random), RATE)
            rows.append({"audio": path.name, "text": " ".join(words), "speaker": "ab"[number % 2]})
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def sound_options(folder: Path) -> list[str]:
    """Options that make a run read the sounds of a folder."""
    files = [f"--data.corpus.{split}={folder / split}.jsonl" for split in ("train", "val", "test")]
    corpus = "--data.corpus=core.data.speech_manifests.JsonlSpeech"
    return [corpus, *files, f"--data.sample_rate={RATE}", f"--data.cache_dir={folder / 'cache'}"]


def tiny_speech_options(folder: Path) -> list[str]:
    """Options of a run of seconds on the sounds of a folder: a small model in one process."""
    sizes = {"d_model": 32, "num_layers": 1, "num_heads": 2, "ffn_size": 32, "dropout": 0.0}
    parts = [f"--model.{part}.{name}={value}" for part in ("encoder", "decoder") for name, value in sizes.items()]
    others = {
        "data.batch_seconds": 6,
        "model.encoder.conv_channels": 8,
        "model.frontend.n_mels": 20,
        "model.frontend.speed": "[]",
        "model.frontend.spec_augment.frequency_masks": 0,
        "model.frontend.spec_augment.time_masks": 0,
        "model.objective.ctc_weight": 0.5,
        "model.ctc_weight": 0.7,
        "model.generation.max_length": 20,
        "model.generation.beam_size": 3,
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
        "trainer.log_every_n_steps": 5,
        "model.schedule.warmup_steps": 10,
    }
    return [*sound_options(folder), *parts, *(f"--{name}={value}" for name, value in others.items())]

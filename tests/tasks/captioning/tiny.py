"""A few drawn scenes in files, and options with which the command line learns to caption them in seconds."""

from __future__ import annotations

import json
from pathlib import Path

from core.data.corpus import Split
from tasks.captioning.builtin import BuiltInScenes

SIZES: dict[Split, int] = {"train": 24, "val": 5, "test": 6}


def write_scenes(folder: Path) -> None:
    """Writes {train,val,test}.jsonl and their PNG files."""
    corpus = BuiltInScenes(SIZES["train"], SIZES["val"], SIZES["test"], side=32)
    for split in SIZES:
        rows = []
        for scene in corpus.read(split):
            assert scene.image.data is not None
            (folder / scene.name).write_bytes(scene.image.data)
            rows.append({"image": scene.name, "captions": scene.captions})
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def scene_options(folder: Path) -> list[str]:
    """Options that make a run read the scenes of a folder."""
    files = [f"--data.corpus.{split}={folder / split}.jsonl" for split in SIZES]
    return ["--data.corpus=core.data.images_jsonl.JsonlImages", *files, f"--data.cache_dir={folder / 'cache'}"]


def tiny_options(folder: Path) -> list[str]:
    """Options of a run of seconds on the scenes of a folder: a small model in one process."""
    others = {
        "data.transform.size": 32,
        "data.tokenizer.min_frequency": 1,
        "data.batch_size": 20,
        "model.encoder.image_size": 32,
        "model.encoder.d_model": 32,
        "model.encoder.channels": "[16, 32]",
        "model.encoder.strides": "[4, 2]",
        "model.encoder.depth": 1,
        "model.decoder.d_model": 32,
        "model.decoder.num_layers": 1,
        "model.decoder.num_heads": 2,
        "model.decoder.ffn_size": 32,
        "model.decoder.dropout": 0.0,
        "model.generation.max_length": 20,
        "model.generation.beam_size": 2,
        "model.schedule.warmup_steps": 5,
        "trainer.accelerator": "cpu",
        "trainer.devices": 1,
        "trainer.log_every_n_steps": 5,
        "trainer.precision": "32-true",
    }
    return [*scene_options(folder), *(f"--{name}={value}" for name, value in others.items())]

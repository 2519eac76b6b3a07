"""Stories with which the command line trains in seconds."""

from __future__ import annotations

import json
from pathlib import Path

from core.data.corpus import Split
from tasks.qa.builtin import BuiltInCorpus

SPLITS: tuple[Split, ...] = ("train", "val", "test")


def write_questions(folder: Path) -> None:
    """Writes {train,val,test}.jsonl: questions about small worlds, some without an answer in them."""
    corpus = BuiltInCorpus(60, 12, 12, sentences=5)
    for split in SPLITS:
        rows = [
            {
                "id": example.name,
                "context": example.context,
                "question": example.question,
                "answers": list(example.answers) if example.id % 4 else [],
            }
            for example in corpus.read(split)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(text, encoding="utf-8")


def question_options(folder: Path) -> list[str]:
    """Options that make a run read the questions of a folder, with a tokenizer of its own."""
    files = [f"--data.corpus.{split}={folder / f'{split}.jsonl'}" for split in SPLITS]
    trained = ["--data.tokenizers=null", "--data.tokenizer.min_frequency=1"]
    return ["--data.corpus=tasks.qa.jsonl.JsonlQa", *files, *trained, f"--data.cache_dir={folder / 'cache'}"]

"""What `predict` writes: a line for each line of the input, as plain text or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from core.atomic import PART, unwritable
from core.errors import ConfigError, StorageError
from core.generation.options import Hypothesis
from core.inputs import Line

OutputFormat = Literal["text", "jsonl"]
Hypotheses = Sequence[tuple[str, Hypothesis]]


def text_row(line: Line, hypotheses: Hypotheses) -> str:
    """The texts of all hypotheses, best first, with tabs between them; empty where there are none."""
    return "\t".join(" ".join(text.split()) for text, _ in hypotheses)


def json_row(line: Line, hypotheses: Hypotheses) -> str:
    """A JSON object: `id` (from 0), `source`, `hypotheses`, and `problem` where the line couldn't be read."""
    row: dict[str, object] = {
        "id": line.number - 1,
        "source": line.text,
        "hypotheses": [
            {"text": text, "score": found.score, "log_prob": found.log_prob, "finished": found.finished}
            for text, found in hypotheses
        ],
    }
    if line.problem:
        row["problem"] = line.problem
    return json.dumps(row, ensure_ascii=False)


ROWS: dict[OutputFormat, Callable[[Line, Hypotheses], str]] = {"text": text_row, "jsonl": json_row}
SUFFIXES: dict[OutputFormat, str] = {"text": ".hyp.txt", "jsonl": ".hyp.jsonl"}


@contextmanager
def open_output(path: Path | None) -> Iterator[IO[bytes]]:
    """Opens a file that gets its name when all of it is written, `<name>.part` before; or standard output.

    Raises:
        ConfigError: the path is a directory.
        StorageError: nothing can be written there; told before anything is done.
    """
    if path is None:
        yield sys.stdout.buffer
        return
    if path.is_dir():
        raise ConfigError(f"--output {path} is a directory: give a file's name")
    part = path.with_name(path.name + PART)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("wb")
    except OSError as error:
        raise StorageError(unwritable(path, error)) from error
    with file:
        yield file
    part.replace(path)

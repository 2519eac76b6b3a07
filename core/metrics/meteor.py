"""METEOR 1.5 by its own program, which is in the package pycocoevalcap and needs Java; nothing else has that name."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from math import nan
from pathlib import Path

from core.metrics.base import Score, Scored
from core.metrics.captions import CaptionMetric, Words

COMMAND = ("java", "-Xmx2G", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm")


class Meteor(CaptionMetric):
    """METEOR (Denkowski and Lavie 2014) as coco-caption runs it, `meteor`, from 0 to 100; English only.

    The program takes 10 seconds to start and 2 GB, so keep it for the test. Where it or Java is missing, the score
    is NaN and its signature says why.
    """

    @property
    def names(self) -> tuple[str, ...]:
        """One number."""
        return ("meteor",)

    @property
    def signature(self) -> str:
        """The program and its options."""
        return "METEOR 1.5|-l en -norm"

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Scores the corpus where that is possible.

        Raises:
            DataError: an example has no reference.
        """
        if folder() is None:
            return {"meteor": Score(nan, "not available: needs java and pip install pycocoevalcap")}
        try:
            return super().score(examples)
        except (OSError, ValueError) as error:
            return {"meteor": Score(nan, f"not available: METEOR 1.5 gave no score ({error})")}

    def values(self, hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> Sequence[float]:
        """Lets the program count for each caption, then score the sum of the counts."""
        with subprocess.Popen(
            COMMAND, cwd=folder(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as program:
            counts = []
            for hypothesis, targets in zip(hypotheses, references, strict=True):
                parts = [" ".join(words) for words in (*targets, hypothesis)]
                counts.append(_ask(program, ["SCORE", *parts]))
            _ask(program, ["EVAL", *counts])  # answers with each caption's score, then the corpus's
            answers = [_read(program) for _ in counts]
            program.kill()
        return [100 * float(answers[-1])]


def folder() -> Path | None:
    """Where METEOR's program is, or None where it can't be run."""
    found = find_spec("pycocoevalcap")
    if shutil.which("java") is None or found is None:
        return None
    places = [Path(place, "meteor") for place in found.submodule_search_locations or ()]
    return next((place for place in places if (place / "meteor-1.5.jar").exists()), None)


def _ask(program: subprocess.Popen[str], parts: Sequence[str]) -> str:
    assert program.stdin is not None
    program.stdin.write(" ||| ".join(parts) + "\n")
    program.stdin.flush()
    return _read(program)


def _read(program: subprocess.Popen[str]) -> str:
    assert program.stdout is not None
    line = program.stdout.readline()
    if not line:
        raise OSError("it ended early")
    return line.strip()

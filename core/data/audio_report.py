"""What was found in a speech corpus: counted, and told so that a person can mend it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from core.data.findings import Finding, told

Problem = Literal["unreadable", "no sound", "no text", "too short", "too long", "rate", "duration", "resampled"]

TITLES: dict[Problem, str] = {
    "unreadable": "can't be read",
    "no sound": "have no sound: 0 samples",
    "no text": "have no transcript",
    "too short": "are too short",
    "too long": "are too long",
    "rate": "have another sample rate than the corpus claims",
    "duration": "have another duration than the corpus claims",
    "resampled": "are resampled",
}


@dataclass(frozen=True)
class AudioReport:
    """What `check_utterances` found.

    Attributes:
        utterances: how many were looked at.
        kept: how many can be used.
        hours: of sound in those.
        findings: by problem, only those that there are; an utterance may have several.
    """

    utterances: int
    kept: int
    hours: float
    findings: Mapping[Problem, Finding]

    def __str__(self) -> str:
        lines = [f"{self.utterances:,} utterances, {self.kept:,} of them usable: {self.hours:.2f} hours"]
        lines += told(self.findings, TITLES)
        return "\n".join(lines)


def audio_table(reports: Mapping[str, AudioReport]) -> str:
    """What was found in each split."""
    return "\n".join(f"{split}: {report}" for split, report in reports.items())

"""What was found in a speech corpus: counted, and told so that a person can mend it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

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

FIRST = 5  # examples of each problem


@dataclass(frozen=True)
class Finding:
    """The utterances that have a problem.

    Attributes:
        count: how many they are.
        examples: the first of them and why, each text once.
        dropped: they are left out.
    """

    count: int
    examples: tuple[str, ...]
    dropped: bool


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
        for problem, finding in self.findings.items():
            end = ", left out" if finding.dropped else ""
            lines.append(f"{finding.count:8,} {TITLES[problem]}{end}")
            lines += [f"{'':9}{example}" for example in finding.examples]
            if FIRST == len(finding.examples) < finding.count:
                lines.append(f"{'':9}and {finding.count - FIRST:,} more")
        return "\n".join(lines)


def audio_table(reports: Mapping[str, AudioReport]) -> str:
    """What was found in each split."""
    return "\n".join(f"{split}: {report}" for split, report in reports.items())


def gather(found: Iterable[tuple[Problem, str]], dropping: Iterable[Problem]) -> dict[Problem, Finding]:
    """Counts what was found, in the order of `TITLES`.

    Args:
        found: each problem of each utterance, and what to tell of it.
        dropping: the problems for which an utterance is left out.
    """
    by_problem: dict[Problem, list[str]] = {problem: [] for problem in TITLES}
    for problem, example in found:
        by_problem[problem].append(example)
    dropped = set(dropping)
    return {
        problem: Finding(len(examples), tuple(dict.fromkeys(examples))[:FIRST], problem in dropped)
        for problem, examples in by_problem.items()
        if examples
    }

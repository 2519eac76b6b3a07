"""What was found wrong with a corpus: counted by problem, and told with the first examples."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

FIRST = 5  # examples of each problem

Problem = TypeVar("Problem", bound=str)


@dataclass(frozen=True)
class Finding:
    """The examples that have a problem.

    Attributes:
        count: how many they are.
        examples: the first of them and why, each text once.
        dropped: they are left out.
    """

    count: int
    examples: tuple[str, ...]
    dropped: bool


def gather(
    found: Iterable[tuple[Problem, str]], dropping: Iterable[Problem], order: Iterable[Problem]
) -> dict[Problem, Finding]:
    """Counts what was found.

    Args:
        found: each problem of each example, and what to tell of it.
        dropping: the problems for which an example is left out.
        order: all problems, as they are told.
    """
    by_problem: dict[Problem, list[str]] = {problem: [] for problem in order}
    for problem, example in found:
        by_problem[problem].append(example)
    dropped = set(dropping)
    return {
        problem: Finding(len(examples), tuple(dict.fromkeys(examples))[:FIRST], problem in dropped)
        for problem, examples in by_problem.items()
        if examples
    }


def told(findings: Mapping[Problem, Finding], titles: Mapping[Problem, str]) -> Iterator[str]:
    """Lines for a person: each problem's count and title, and below it its examples."""
    for problem, finding in findings.items():
        end = ", left out" if finding.dropped else ""
        yield f"{finding.count:8,} {titles[problem]}{end}"
        yield from (f"{'':9}{example}" for example in finding.examples)
        if FIRST == len(finding.examples) < finding.count:
            yield f"{'':9}and {finding.count - FIRST:,} more"

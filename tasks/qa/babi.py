"""The 20 tasks of bAbI (Weston et al. 2015), as their authors distribute them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.data.corpus import Split
from core.data.text import read_lines
from core.errors import ConfigError, DataError
from tasks.qa.corpus import QaCorpus, QaExample, check_held_out, locate, numbered, side

TASKS = 20
LINE = re.compile(r"(\d+) (.*)")


class BabiCorpus(QaCorpus):
    """Stories of simple sentences with questions between them: a question's context is all that was told before it.

    Args:
        folder: with `qa<n>_<name>_train.txt` and, for the test split, `qa<n>_<name>_test.txt`.
        tasks: the numbers of the tasks that are learnt together; none for all 20.
        held_out: share of the training stories, with all of their questions, that makes the validation split: chosen
            by a hash of the story, so that equal ones stay together.

    Raises:
        ConfigError: there is no such task, or the share isn't above 0 and below 1.
    """

    has_kinds = True

    def __init__(self, folder: Path, tasks: list[int] | None = None, held_out: float = 0.1) -> None:
        self.folder = Path(folder)
        self.tasks = list(tasks or range(1, TASKS + 1))
        wrong = [task for task in self.tasks if not 1 <= task <= TASKS]
        if wrong:
            raise ConfigError(f"data.corpus.tasks must be from 1 to {TASKS}, got {wrong[0]}")
        if not check_held_out(held_out):
            raise ConfigError("data.corpus.held_out must be above 0: bAbI has no validation split of its own")
        self.held_out = held_out

    def read(self, split: Split) -> list[QaExample]:
        """Reads one split of all tasks, in their order.

        Raises:
            DataError: a task's file is missing or isn't bAbI's; with file and line.
        """
        examples = []
        for task in self.tasks:
            path = self._path(task, "test" if split == "test" else "train")
            stories = list(read_stories(path, f"qa{task}"))
            found = [example for story in stories for example in story]
            if split != "test":
                keys = [story[-1].context for story in stories for _ in story]
                found = side(found, keys, self.held_out, held_out=split == "val")
            examples += found
        return numbered(examples)

    def _path(self, task: int, ending: str) -> Path:
        paths = sorted(self.folder.glob(f"qa{task}_*_{ending}.txt"))
        if not paths:
            raise DataError(f"there is no qa{task}_*_{ending}.txt", self.folder)
        return paths[0]


def read_stories(path: Path, title: str) -> Iterator[list[QaExample]]:
    """Reads a file, story by story: each one's questions. A line's number that is 1 begins a story.

    Raises:
        DataError: a line has no number, or a question no answer.
    """
    facts: dict[int, str] = {}
    story: list[QaExample] = []
    for row, line in enumerate(read_lines(path), start=1):
        found = LINE.fullmatch(line.strip("\r\n"))
        if found is None:
            raise DataError("not a line of bAbI, which begin with a number and a space", path, row)
        number, text = int(found[1]), found[2]
        if number == 1:
            if story:
                yield story
            facts, story = {}, []
        if "\t" in text:
            story.append(_question(text, facts, f"{title}:{row}", title, path, row))
        else:
            facts[number] = text.strip()
    if story:
        yield story


def _question(text: str, facts: dict[int, str], name: str, title: str, path: Path, row: int) -> QaExample:
    """Makes an example of "question, tab, answer, tab, numbers of the facts that it follows from"."""
    question, answer, *support = [part.strip() for part in text.split("\t")]
    if not answer:
        raise DataError("a question without an answer", path, row)
    numbers = [int(number) for number in support[0].split() if number.isdigit()] if support else []
    context = "\n".join(facts.values())
    start = locate(answer, context, places_of(facts, numbers))
    return QaExample(0, name, context, question, (answer,), (start,), False, title)


def places_of(facts: dict[int, str], numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Where in their text, a line each, some of the facts stand."""
    places, begin = [], 0
    for number, fact in facts.items():
        if number in numbers:
            places.append((begin, begin + len(fact)))
        begin += len(fact) + 1
    return places

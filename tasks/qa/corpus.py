"""What a corpus of questions is."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.data.corpus import Split, split_path
from core.errors import ConfigError


@dataclass(frozen=True)
class QaExample:
    """One question about a text.

    Attributes:
        id: its number in its split, from 0.
        name: what its corpus calls it.
        context: the text.
        question: the question.
        answers: right answers, the first of which is learnt; none where the text has no answer.
        answer_starts: where in the context each of them begins, in characters; -1 where it isn't there, or nobody
            knows.
        is_impossible: the text has no answer.
        title: the article, the story or the task that it belongs to.
    """

    id: int
    name: str
    context: str
    question: str
    answers: tuple[str, ...]
    answer_starts: tuple[int, ...] = ()
    is_impossible: bool = False
    title: str = ""

    @property
    def references(self) -> tuple[str, ...]:
        """The right answers as they are scored: the empty text where there is none."""
        return self.answers or ("",)

    @property
    def span(self) -> tuple[int, int] | None:
        """Where in the context the first answer is: its first character and the one behind its last."""
        if not self.answers or not self.answer_starts or self.answer_starts[0] < 0:
            return None
        return self.answer_starts[0], self.answer_starts[0] + len(self.answers[0])


class QaCorpus(ABC):
    """A source of questions. Choose one in YAML by its class name: `data.corpus: SquadCorpus`.

    Attributes:
        has_kinds: the titles are kinds of questions, each of which is scored by itself.
    """

    has_kinds: bool = False

    @abstractmethod
    def read(self, split: Split) -> list[QaExample]:
        """Reads one split, whole, in the order of its file; ids count from 0.

        Raises:
            DataError: the data is missing or can't be used; with file and line, or the question's name.
        """


class FileCorpus(QaCorpus):
    """A corpus with a file for each split, whose validation split may be cut out of its training split.

    Args:
        train: the training file.
        val: the validation file; None where there is none, or `held_out` makes it.
        test: the test file.
        held_out: share of the training texts that are kept for validation with all of their questions, chosen by a
            hash of the title, or of the text where there is none; 0 for a file of its own.

    Raises:
        ConfigError: the share is out of its range.
    """

    def __init__(
        self,
        train: Path | None = None,
        val: Path | None = None,
        test: Path | None = None,
        held_out: float = 0.0,
    ) -> None:
        self.held_out = check_held_out(held_out)
        self.paths: dict[Split, Path | None] = {"train": train, "val": val, "test": test}

    @abstractmethod
    def read_file(self, path: Path) -> list[QaExample]:
        """Reads a file."""

    def read(self, split: Split) -> list[QaExample]:
        """Reads one split, whole, in the order of its file."""
        if split == "test" or not self.held_out:
            return self.read_file(Path(split_path(self.paths, split)))
        examples = self.read_file(Path(split_path(self.paths, "train")))
        keys = [example.title or example.context for example in examples]
        return side(examples, keys, self.held_out, held_out=split == "val")


def check_held_out(share: float) -> float:
    """Returns a share in [0, 1), or raises ConfigError."""
    if not 0 <= share < 1:
        raise ConfigError(f"data.corpus.held_out must be in [0, 1), got {share}")
    return share


def side(examples: Sequence[QaExample], keys: Sequence[str], share: float, held_out: bool) -> list[QaExample]:
    """One of the two parts of a training file, numbered anew: always the same, what has one key on one side."""
    pairs = zip(examples, keys, strict=True)
    chosen = [example for example, key in pairs if (fraction(key) < share) == held_out]
    return numbered(chosen)


def fraction(key: str) -> float:
    """A number in [0, 1) that follows from a text, on all machines alike."""
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def numbered(examples: Sequence[QaExample]) -> list[QaExample]:
    """The same with ids from 0."""
    return [replace(example, id=index) for index, example in enumerate(examples)]


def locate(answer: str, context: str, within: Sequence[tuple[int, int]] = ()) -> int:
    """Where an answer stands in a text as whole words, for corpora that don't say it: the last place; -1 for none.

    Args:
        answer: the answer.
        context: the text.
        within: parts of the text to be preferred, the last first: the sentences that the answer follows from.
    """
    pattern = re.compile(rf"(?<!\w){re.escape(answer)}(?!\w)", re.IGNORECASE)
    found = [match.start() for match in pattern.finditer(context)] if answer else []
    for begin, end in sorted(within, reverse=True):
        inside = [start for start in found if begin <= start < end]
        if inside:
            return inside[-1]
    return found[-1] if found else -1

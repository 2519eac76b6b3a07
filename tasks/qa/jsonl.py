"""Questions as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from core.data.records import parse, text_of
from core.data.tables import unknown_column
from core.data.text import read_lines
from core.errors import DataError
from tasks.qa.corpus import FileCorpus, QaExample, locate, numbered


class JsonlQa(FileCorpus):
    """One JSON object a line: `context`, `question`, `answers`; also `answer_starts`, `id`, `title`.

    `answers` is a text or a list of texts; an empty list, or null, says that the context has no answer. Where there
    are no `answer_starts`, an answer is looked for in the context as whole words, and its last place is taken.
    """

    def read_file(self, path: Path) -> list[QaExample]:
        """Reads a file.

        Raises:
            DataError: the file is missing, empty or not UTF-8; a line isn't JSON, or lacks a field.
        """
        lines = [(number, line) for number, line in enumerate(read_lines(path), start=1) if line.strip()]
        return numbered([example_of(parse(line, path, number), path, number) for number, line in lines])


def example_of(record: Mapping[str, object], path: str | Path, line: int, answered: bool = True) -> QaExample:
    """Makes an example of a line's record.

    Args:
        record: what the line says.
        path: its file.
        line: its number, from 1.
        answered: the answers must be there.

    Raises:
        DataError: a field is missing or of another type, or an answer isn't where the record says.
    """
    needed = ("context", "question", "answers") if answered else ("context", "question")
    for field in needed:
        if field not in record:
            raise unknown_column(field, list(record), path, line)
    context, question = (text_of(record[field], field, path, line) for field in ("context", "question"))
    answers = _texts(record.get("answers"), path, line)
    starts = record.get("answer_starts")
    if starts is None:
        places = tuple(locate(answer, context) for answer in answers)
    else:
        places = _starts(starts, answers, context, path, line)
    name, title = str(record.get("id", line)), str(record.get("title", ""))
    return QaExample(line - 1, name, context, question, answers, places, not answers, title)


def _texts(value: object, path: str | Path, line: int) -> tuple[str, ...]:
    listed = [] if value is None else value if isinstance(value, list) else [value]
    return tuple(text_of(each, "answers", path, line) for each in listed)


def _starts(value: object, answers: tuple[str, ...], context: str, path: str | Path, line: int) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) != len(answers) or not all(isinstance(each, int) for each in value):
        raise DataError(f"'answer_starts' must be a list of {len(answers)} numbers, one for each answer", path, line)
    for start, answer in zip(value, answers, strict=True):
        if start >= 0 and context[start : start + len(answer)] != answer:
            raise DataError(f"at {start} the context doesn't have the answer {answer!r}", path, line)
    return tuple(value)

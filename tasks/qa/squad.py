"""SQuAD's JSON, version 1.1 (Rajpurkar et al. 2016) and 2.0 (Rajpurkar et al. 2018)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import DataError
from tasks.qa.corpus import FileCorpus, QaExample, numbered


class SquadCorpus(FileCorpus):
    """SQuAD's JSON: articles of paragraphs of questions, with answers that are spans of the paragraph.

    What version 2.0 adds, questions without an answer (`is_impossible`), is read where it is there. `plausible_answers`
    are not answers.
    """

    def read_file(self, path: Path) -> list[QaExample]:
        """Reads a file.

        Raises:
            DataError: the file is missing, isn't JSON, or lacks a field; an answer doesn't stand where the file says.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise DataError(f"can't be read: {error.strerror}", path) from error
        except ValueError as error:
            raise DataError(f"not JSON: {error}", path) from None
        except RecursionError:
            raise DataError("JSON that is nested too deep", path) from None
        examples = list(_examples(content, path))
        if not examples:
            raise DataError("has no questions", path)
        return numbered(examples)


def _examples(content: Any, path: Path) -> Iterator[QaExample]:
    for number, article in enumerate(_get(content, "data", list, path, "the file")):
        place = f"article {number + 1}"
        title = str(article.get("title", "")) if isinstance(article, dict) else ""
        for index, paragraph in enumerate(_get(article, "paragraphs", list, path, place)):
            where = f"{place} ({title or 'no title'}), paragraph {index + 1}"
            context = _get(paragraph, "context", str, path, where)
            for question in _get(paragraph, "qas", list, path, where):
                yield _example(question, context, title, path, where)


def _example(question: Any, context: str, title: str, path: Path, where: str) -> QaExample:
    name = str(_get(question, "id", (str, int), path, where))
    where = f"question {name}"
    text = _get(question, "question", str, path, where)
    impossible = bool(question.get("is_impossible", False))
    given = [] if impossible else _get(question, "answers", list, path, where)
    if not given and not impossible:
        raise DataError(f"{where} has no answers, and isn't marked as is_impossible", path)
    answers = [_get(answer, "text", str, path, where) for answer in given]
    starts = [_get(answer, "answer_start", int, path, where) for answer in given]
    for answer, start in zip(answers, starts, strict=True):
        found = context[max(start, 0) : start + len(answer)]
        if found != answer:
            raise DataError(
                f"{where}: at answer_start {start} the context has {found!r}, not the answer {answer!r}", path
            )
    return QaExample(0, name, context, text, tuple(answers), tuple(starts), impossible, title)


def _get(record: Any, field: str, kind: type | tuple[type, ...], path: Path, where: str) -> Any:
    if not isinstance(record, dict) or field not in record:
        raise DataError(f"{where} has no field {field!r}: is this SQuAD's JSON?", path)
    if not isinstance(record[field], kind):
        raise DataError(f"{where}: {field!r} is of type {type(record[field]).__name__}", path)
    return record[field]

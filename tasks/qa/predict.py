"""Answering people's questions about a text file, or about the texts of a file of JSON lines."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from core.data.records import parse
from core.data.text import read_lines
from core.errors import ConfigError, DataError
from core.outputs import open_output
from core.predict import Summary
from core.span.batch import SpanBatch
from tasks.qa.answers import QuestionAnswers, WindowAnswers, in_its_sentence, merge
from tasks.qa.corpus import QaExample, numbered
from tasks.qa.data import QaData
from tasks.qa.jsonl import example_of
from tasks.qa.module import QaModule

AnswerFormat = Literal["text", "jsonl"]


@dataclass(frozen=True)
class QaPredictOptions:
    """What to answer, and where to write it.

    Attributes:
        context: a text file that is asked about; "-" for standard input.
        question: the questions about it.
        input: JSON lines with `context` and `question`, in place of the two.
        output: a file; without it standard output.
        format: "text" shows each answer in its sentence, and the next best ones with their probabilities; "jsonl" has
            one object a question. Without it the output's name decides.
    """

    context: str | None = None
    question: list[str] = field(default_factory=list)
    input: Path | None = None
    output: Path | None = None
    format: AnswerFormat | None = None

    def __post_init__(self) -> None:
        if self.input is not None and (self.context is not None or self.question):
            raise ConfigError("--input has contexts and questions of its own: leave --context and --question out")

    @property
    def chosen_format(self) -> AnswerFormat:
        """The format that was asked for, or that the output's name tells."""
        return self.format or ("jsonl" if self.output is not None and self.output.suffix == ".jsonl" else "text")


def answer_questions(module: QaModule, data: QaData, options: QaPredictOptions) -> Summary:
    """Answers all that the options ask; prints a summary on standard error and returns it.

    Raises:
        ConfigError: nothing is asked, or the output would overwrite the input.
        DataError: a file can't be read, or a line has no context or question.
    """
    module.eval()
    summary = Summary(unit="questions")
    examples = read_questions(options)
    row = _json_row if options.chosen_format == "jsonl" else _text_row
    with open_output(options.output) as file:
        threshold = float(module.null_threshold)
        for example, found in zip(examples, answer_all(module, data, examples), strict=True):
            file.write(f"{row(example, found, threshold)}\n".encode())
            summary.done += 1
    print(f"predict: {summary}", file=sys.stderr)
    return summary


def read_questions(options: QaPredictOptions) -> list[QaExample]:
    """The questions and their texts, with ids from 0.

    Raises:
        ConfigError: nothing is asked, or the output would overwrite the input.
        DataError: a file can't be read, or a line has no context or question.
    """
    source = options.input if options.input is not None else Path(options.context or "-")
    if options.output is not None and options.output.exists() and source.exists() and options.output.samefile(source):
        raise ConfigError(f"--output {options.output} would overwrite the input; give another name")
    if options.input is not None:
        path = options.input
        lines = [(number, line) for number, line in enumerate(read_lines(path), start=1) if line.strip()]
        found = [example_of(parse(line, path, number), path, number, answered=False) for number, line in lines]
        return numbered(found)
    if options.context is None or not options.question:
        raise ConfigError(
            "predict needs --context FILE and --question '[\"…\"]', or --input FILE.jsonl with `context` and `question`"
        )
    text = read_text(options.context)
    return [QaExample(index, str(index), text, question, ()) for index, question in enumerate(options.question)]


def read_text(path: str) -> str:
    """A whole text file, or standard input for "-".

    Raises:
        DataError: it can't be read, isn't UTF-8, or is empty.
    """
    try:
        raw = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror}", path) from error
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}", path) from error
    if not text.strip():
        raise DataError("has no text that could be asked about", path)
    return text


def answer_all(module: QaModule, data: QaData, examples: Sequence[QaExample]) -> list[QuestionAnswers]:
    """Answers questions, each from all windows of its context."""
    windows: dict[int, list[WindowAnswers]] = defaultdict(list)
    for batch in data.question_loader(examples):
        assert isinstance(batch, SpanBatch)
        moved = batch.to(module.device)
        for window, found in zip(batch.windows, module.answer_windows(moved), strict=True):
            windows[window.question].append(found)
    return [merge(windows[index], module.generation.n_best) for index in range(len(examples))]


def _text_row(example: QaExample, found: QuestionAnswers, threshold: float) -> str:
    """The question, its answer in its sentence, and the next best ones."""
    best = found.best(threshold)
    lines = [f"Q: {example.question}"]
    if not best:
        lines.append(f"A: (no answer)  {found.null_probability:.1%}")
    for rank, answer in enumerate(found.answers):
        mark = "A" if best and not rank else " "
        sentence = in_its_sentence(answer, example.context)
        lines.append(f"{mark}: {answer.text}  {answer.probability:.1%}" + (f"  {sentence}" if sentence else ""))
    return "\n".join(lines) + "\n"


def _json_row(example: QaExample, found: QuestionAnswers, threshold: float) -> str:
    answers = [asdict(answer) | {"sentence": in_its_sentence(answer, example.context)} for answer in found.answers]
    row = {
        "id": example.name,
        "question": example.question,
        "answer": found.best(threshold),
        "no_answer_probability": found.null_probability,
        "answers": answers,
    }
    return json.dumps(row, ensure_ascii=False)

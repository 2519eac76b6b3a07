"""Summaries of people's documents: one a line, or one a file."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from core.errors import ConfigError, DataError
from core.inputs import Line, TextInput
from core.outputs import ROWS, Hypotheses, open_output
from core.predict import PredictOptions, Summary, TextData, TextGenerator, plan, predict, translate

Job = tuple[TextInput, Path | None]


@dataclass(frozen=True)
class SummaryPredictOptions(PredictOptions):
    r"""What to summarize, and where to write it.

    Attributes:
        input: a file, a directory, whose files are read at any depth, or "-" for standard input.
        text: documents themselves, in place of an input.
        output: a file, or a directory for the input's directory; without it standard output, and for a directory
            NAME.hyp.txt or NAME.hyp.jsonl beside each file. A file has its name only when all of it is there.
        format: "text" has the best summaries, n_best of them with tabs between; "jsonl" their scores too. Without it
            the output's name decides.
        chunk_lines: documents that are read, sorted by length and summarized together.
        attention: a directory for pictures of where the model looked, one PNG a document; with `documents: lines`.
        attention_lines: which documents are drawn, by line number from 1.
        documents: "lines": each line is one, in which \n stands for a line end and \\ for a backslash; "files": each
            file is one. Without it files for a directory, and lines otherwise.
    """

    documents: Literal["lines", "files"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.whole_files and self.text:
            raise ConfigError("--documents files and --text exclude each other: give an --input")
        if self.whole_files and self.attention is not None:
            raise ConfigError("--attention draws lines: give --documents lines, or leave it out")

    @property
    def whole_files(self) -> bool:
        """Each file is one document."""
        if self.documents is None:
            return not self.text and Path(self.input).is_dir()
        return self.documents == "files"


def summarize(module: TextGenerator, data: TextData, options: SummaryPredictOptions) -> Summary:
    """Summarizes all that the options name; prints what was done on standard error and returns it.

    Args:
        module: writes the summaries.
        data: its `text_loader` takes escaped documents.
        options: what, where to and how.

    Raises:
        ConfigError: the options exclude each other, or the output would overwrite the input.
        DataError: there is no such input, or none of it can be read.
    """
    if not options.whole_files:
        return predict(module, data, options)
    module.eval()
    summary = Summary("documents")
    jobs = plan(options)
    for chunk in _chunks(jobs, options.chunk_lines):
        lines = [read_document(source) for source, _ in chunk]
        results = translate(module, data, [escape(line.text) for line in lines])
        for (source, output), line, hypotheses in zip(chunk, lines, results, strict=True):
            _write(source, output, line, hypotheses, options)
            _report(source, line, data, summary)
    print(f"predict: {summary}", file=sys.stderr)
    if summary.done == 0:
        raise DataError(f"none of {len(jobs)} documents could be read")
    return summary


def read_document(source: TextInput) -> Line:
    """All lines of an input as one; where one can't be read its text is empty, and its problem says why."""
    try:
        lines = list(source.lines())
    except DataError as error:
        return Line(1, "", str(error))
    problem = next((f"line {line.number}: {line.problem}" for line in lines if line.problem), "")
    return Line(1, "" if problem else "\n".join(line.text for line in lines), problem)


def escape(text: str) -> str:
    r"""Writes a document as one line: \n for a line end, \\ for a backslash."""
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def unescape(line: str) -> str:
    r"""Makes a document of one line: the opposite of `escape`; other letters behind a backslash leave it as it is."""
    return re.sub(r"\\([\\n])", lambda found: "\n" if found[1] == "n" else "\\", line)


def _write(
    source: TextInput, output: Path | None, line: Line, hypotheses: Hypotheses, options: SummaryPredictOptions
) -> None:
    with open_output(output) as file:
        file.write(f"{ROWS[options.chosen_format](line, hypotheses)}\n".encode())
        file.flush()


def _report(source: TextInput, line: Line, data: TextData, summary: Summary) -> None:
    """Counts a document, and tells of one that couldn't be read or is too long."""
    if line.problem:
        summary.report(f"{source.name}: {line.problem}")
        return
    summary.done += 1
    length, limit = len(data.source_tokenizer.encode(line.text)), data.limits.source
    if length > limit:
        summary.report(f"{source.name}: {length} tokens, only the {data.limits.source_end} {limit} were read")


def _chunks(jobs: Sequence[Job], size: int) -> Iterator[list[Job]]:
    rest = iter(jobs)
    while chunk := list(islice(rest, size)):
        yield chunk

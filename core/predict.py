"""Predictions for people's files: a line out for each line in, in the order of the input, whatever is in it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import torch

from core.batch import Seq2SeqBatch
from core.data.encode import Limits
from core.errors import ConfigError, DataError
from core.generation.attention import attend
from core.generation.options import Hypothesis
from core.inputs import STDIN, Line, TextInput, files_below
from core.outputs import ROWS, SUFFIXES, Hypotheses, OutputFormat, open_output
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials, TrainedTokenizer

REPORTED = 50  # problems that are told one by one; the others are only counted


@dataclass(frozen=True)
class PredictOptions:
    """What to predict for, and where to write it. What stands in the files of a directory is predicted file by file.

    Attributes:
        input: a file of sentences, one a line; a directory, whose files are read at any depth; "-" for standard input.
        text: sentences themselves, in place of an input.
        output: a file, or a directory for the input's directory; without it standard output, and for a directory
            NAME.hyp.txt or NAME.hyp.jsonl beside each file. A file has its name only when all of it is there.
        format: "text" has the best texts, n_best of them with tabs between; "jsonl" their scores too. Without it the
            output's name decides.
        chunk_lines: lines that are read, sorted by length and translated together.
        attention: a directory for pictures of where the model looked, one PNG a sentence.
        attention_lines: which sentences are drawn, by line number from 1.
    """

    input: str = STDIN
    text: list[str] = field(default_factory=list)
    output: Path | None = None
    format: OutputFormat | None = None
    chunk_lines: int = 4096
    attention: Path | None = None
    attention_lines: list[int] = field(default_factory=lambda: [1])

    def __post_init__(self) -> None:
        if self.chunk_lines < 1:
            raise ConfigError(f"--chunk_lines must be at least 1, got {self.chunk_lines}")
        if self.text and self.input != STDIN:
            raise ConfigError(f"--text and --input {self.input} exclude each other: give one of them")

    @property
    def chosen_format(self) -> OutputFormat:
        """The format that was asked for, or that the output's name tells."""
        return self.format or ("jsonl" if self.output is not None and self.output.suffix == ".jsonl" else "text")


class TextGenerator(Protocol):
    """What predicts: any of our modules."""

    model: EncoderDecoder
    specials: Specials
    target_tokenizer: TrainedTokenizer

    @property
    def device(self) -> torch.device:
        """Where the batches have to be."""
        ...

    def eval(self) -> object:
        """Turns dropout off."""
        ...

    def generate_texts(self, batch: Seq2SeqBatch) -> list[list[tuple[str, Hypothesis]]]:
        """Writes the target of each source of a batch: B lists of n_best texts, best first."""
        ...


class TextData(Protocol):
    """What makes batches of lines: any of our datamodules for text."""

    limits: Limits

    @property
    def source_tokenizer(self) -> TrainedTokenizer:
        """The source's."""
        ...

    def text_loader(self, lines: Sequence[str]) -> Iterable[Any]:
        """Batches of lines, in any order: `ids` has each one's index; lines without a token are in no batch."""
        ...


@dataclass
class Summary:
    """What was done, and what couldn't be.

    Attributes:
        unit: what is counted.
        done: how many of them were read.
        problems: how many lines or files were unreadable or had to be truncated.
        started: when, on the monotonic clock.
    """

    unit: str = "lines"
    done: int = 0
    problems: int = 0
    started: float = field(default_factory=time.monotonic)

    def report(self, message: str) -> None:
        """Tells one problem on standard error."""
        self.problems += 1
        if self.problems <= REPORTED:
            print(f"warning: {message}", file=sys.stderr)
        if self.problems == REPORTED:
            print("warning: further problems are only counted", file=sys.stderr)

    def __str__(self) -> str:
        seconds = time.monotonic() - self.started
        speed = self.done / max(seconds, 1e-9)
        return f"{self.done:,} {self.unit}, {self.problems:,} problems, {speed:.1f} {self.unit}/s"


def predict(module: TextGenerator, data: TextData, options: PredictOptions) -> Summary:
    """Predicts for all that the options name; prints a summary on standard error and returns it.

    A file of a directory that can't be read is reported, and the others are still done.

    Raises:
        ConfigError: the options exclude each other, or the output would overwrite the input.
        DataError: there is no such input, or it can't be read.
    """
    module.eval()
    summary = Summary()
    jobs = plan(options)
    for source, output in jobs:
        try:
            _predict_one(module, data, options, source, output, summary)
        except DataError as error:
            if len(jobs) == 1:
                raise
            summary.report(str(error))
        except BrokenPipeError:  # as with `predict ... | head`: who reads has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            break
    print(f"predict: {summary}", file=sys.stderr)
    return summary


def plan(options: PredictOptions) -> list[tuple[TextInput, Path | None]]:
    """Pairs each input with its output; None is standard output.

    Raises:
        ConfigError: the output is the input itself, or a file where a directory is needed.
        DataError: there is no such input, or the directory has no files.
    """
    if options.text:
        return [(TextInput("--text", given=tuple(options.text)), options.output)]
    if options.input == STDIN:
        return [(TextInput("standard input"), options.output)]
    path, suffix = Path(options.input), SUFFIXES[options.chosen_format]
    if path.is_dir():
        return _plan_directory(path, options.output, suffix)
    if not path.exists():
        raise DataError("there is no such file or directory", path)
    output = options.output
    if output is not None and output.is_dir():
        output = output / (path.name + suffix)
    if output is not None and output.exists() and output.samefile(path):
        raise ConfigError(f"--output {output} would overwrite the input; give another name")
    return [(TextInput(str(path), path), output)]


def _plan_directory(folder: Path, output: Path | None, suffix: str) -> list[tuple[TextInput, Path | None]]:
    if output is not None and output.is_file():
        raise ConfigError(f"--output {output} is a file, but --input {folder} is a directory: give a directory")
    inside = output is not None and output.resolve() != folder.resolve()
    files = files_below(folder, [output] if output is not None and inside else [])
    if not files:
        raise DataError("the directory has no files to read", folder)
    root = output or folder
    return [(TextInput(str(path), path), root / (str(path.relative_to(folder)) + suffix)) for path in files]


def _predict_one(
    module: TextGenerator,
    data: TextData,
    options: PredictOptions,
    source: TextInput,
    output: Path | None,
    summary: Summary,
) -> None:
    """Predicts for one input, chunk by chunk: a large one never is in memory as a whole."""
    row = ROWS[options.chosen_format]
    typed = source.path is None and source.given is None and sys.stdin.isatty()
    with open_output(output) as file:
        for chunk in _chunks(source.lines(), 1 if typed else options.chunk_lines):
            results = translate(module, data, [line.text for line in chunk])
            for line, hypotheses in zip(chunk, results, strict=True):
                file.write(f"{row(line, hypotheses)}\n".encode())
            file.flush()
            summary.done += len(chunk)
            _report(chunk, data, source.name, summary)
            if options.attention is not None:
                drawn = [each for each in zip(chunk, results, strict=True) if each[0].number in options.attention_lines]
                for line, hypotheses in drawn:
                    if hypotheses:
                        _draw_attention(module, data, options.attention, source.name, line, hypotheses[0][1])


def translate(module: TextGenerator, data: TextData, texts: Sequence[str]) -> list[Hypotheses]:
    """Predicts for lines of text: for each its hypotheses, best first; none for a line without a token."""
    results: list[Hypotheses] = [[] for _ in texts]
    with torch.inference_mode():
        for batch in data.text_loader(texts):
            found = module.generate_texts(batch.to(module.device))
            for index, hypotheses in zip(batch.ids, found, strict=True):
                results[index] = hypotheses
    return results


def _chunks(lines: Iterator[Line], size: int) -> Iterator[list[Line]]:
    while chunk := list(islice(lines, size)):
        yield chunk


def _report(chunk: Sequence[Line], data: TextData, name: str, summary: Summary) -> None:
    """Tells which lines couldn't be read, and which ones are too long."""
    limit = data.limits.source
    for line in chunk:
        if line.problem:
            summary.report(f"{name}:{line.number}: {line.problem}")
        # A token has at least one byte, the prefix apart, so that few lines are cut into tokens twice.
        elif len(line.text.encode()) >= limit and (length := len(data.source_tokenizer.encode(line.text))) > limit:
            summary.report(
                f"{name}:{line.number}: {length} tokens, only the {data.limits.source_end} {limit} were read"
            )


def _draw_attention(
    module: TextGenerator, data: TextData, folder: Path, name: str, line: Line, best: Hypothesis
) -> None:
    """Draws where the model looked while it wrote a hypothesis.

    Raises:
        ConfigError: it has no attention.
    """
    from core.plots import attention_figure, save

    batch: Seq2SeqBatch = next(iter(data.text_loader([line.text])))
    weights = attend(module.model, batch.source.to(module.device), [best], module.specials)
    if weights is None:
        raise ConfigError(f"--attention: {type(module.model.decoder).__name__} has no attention to draw")
    source_ids = batch.source.values[0].tolist()
    closed = source_ids[-1] == data.source_tokenizer.specials.eos
    source = data.source_tokenizer.tokens(source_ids[: len(source_ids) - closed]) + [" end"] * closed
    target = module.target_tokenizer.tokens(best.tokens) + [" end"] * best.finished
    save(attention_figure(weights[0].cpu(), source, target), folder / f"{Path(name).name}.{line.number}.png")

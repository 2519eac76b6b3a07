"""Questions and the windows of their contexts, as examples for the model.

Letters: N windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from core.batch import TextBatch
from core.data.collate import Example, pad_tokens
from core.data.dataset import ExampleDataset, Integers
from core.errors import ConfigError
from core.span.batch import SpanBatch
from core.span.passage import Passage, Window, cut
from core.tokenization import TrainedTokenizer
from tasks.qa.corpus import QaExample


@dataclass(frozen=True)
class WindowOptions:
    """How questions and contexts are read.

    Attributes:
        longest: the most tokens of a source: begin token, question, end token, window, end token.
        overlap: how many tokens of the context two neighbouring windows share.
        question: the most tokens of a question; what is beyond is cut off and counted.
        target: the most tokens of an answer, without the end token.

    Raises:
        ConfigError: lengths that leave no room for a window.
    """

    longest: int = 384
    overlap: int = 128
    question: int = 64
    target: int = 32

    def __post_init__(self) -> None:
        for name, option in (("question", "max_question_length"), ("target", "max_target_length")):
            if getattr(self, name) < 1:
                raise ConfigError(f"data.{option} must be at least 1, got {getattr(self, name)}")
        if self.overlap < 0:
            raise ConfigError(f"data.overlap must be at least 0, got {self.overlap}")
        if self.longest - self.question - 3 <= self.overlap:
            raise ConfigError(
                f"data.max_source_length={self.longest} must be above max_question_length + overlap + 3 = "
                f"{self.question + self.overlap + 3}: a window must have more than what it shares with the next one"
            )


@dataclass(frozen=True)
class WindowExample(Example):
    """A question and a window of its context.

    Attributes:
        segments: (S,) int64, see `core.batch.TextBatch`.
        span: the answer's first and last token in the source; zeros where it isn't in this window.
        window: where the source comes from.
    """

    segments: Tensor | None = None
    span: tuple[int, int] = (0, 0)
    window: Window | None = None


@dataclass(frozen=True)
class WindowReport:
    """What was counted in a split.

    Attributes:
        questions: read.
        windows: that they are asked of.
        several: questions with more than one window.
        unanswerable: questions without an answer.
        unlocated: questions whose answer isn't a span of their context: nothing can point at it.
        cut_questions: that are longer than the limit.
        cut_answers: that are longer than the limit.
        left_out: windows without the answer that weren't taken.
    """

    questions: int
    windows: int
    several: int
    unanswerable: int
    unlocated: int
    cut_questions: int
    cut_answers: int
    left_out: int


class WindowDataset(ExampleDataset):
    """Windows of one split, N of them.

    Attributes:
        examples: the questions, by their ids.
        windows: where the sources come from.
        questions: the questions' tokens, by their ids.
        spans: the answers' first and last tokens in the sources.
        targets: the answers' tokens with the end token, which alone stands for no answer; None at prediction.
        specials: ids.
    """

    def __init__(
        self,
        examples: Sequence[QaExample],
        windows: Sequence[Window],
        questions: Sequence[Sequence[int]],
        spans: Sequence[tuple[int, int]],
        targets: Sequence[Sequence[int]] | None,
        tokenizer: TrainedTokenizer,
    ) -> None:
        self.examples, self.windows, self.questions = examples, windows, questions
        self.spans, self.targets, self.specials = spans, targets, tokenizer.specials
        sizes = (len(questions[each.question]) + 3 + each.last - each.first for each in windows)
        self._source_lengths = np.fromiter(sizes, dtype=np.int64, count=len(windows))

    @property
    def source_lengths(self) -> Integers:
        """In tokens."""
        return self._source_lengths

    @property
    def target_lengths(self) -> Integers:
        """In tokens; at prediction the sources'."""
        if self.targets is None:
            return self._source_lengths
        return np.fromiter(map(len, self.targets), dtype=np.int64, count=len(self.targets))

    @property
    def ids(self) -> list[int]:
        """The windows' questions: not each there once."""
        return [window.question for window in self.windows]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> WindowExample:
        window = self.windows[index]
        example, question = self.examples[window.question], self.questions[window.question]
        ids = window.passage.ids[window.first : window.last].tolist()
        numbers = window.passage.sentences[window.first : window.last]
        numbers = numbers - numbers[0] + 1 if len(numbers) else numbers
        bos, eos = self.specials.bos, self.specials.eos
        return WindowExample(
            id=window.question,
            source=torch.tensor([bos, *question, eos, *ids, eos]),
            target=None if self.targets is None else torch.tensor(self.targets[index]),
            source_text=example.question,
            references=example.references,
            segments=torch.tensor([0] * window.shift + numbers.tolist() + [0]),
            span=self.spans[index],
            window=window,
        )

    def collate(self, examples: Sequence[Example]) -> SpanBatch:
        """Makes a batch of windows."""
        rows = [example for example in examples if isinstance(example, WindowExample)]
        targets = [row.target for row in rows if row.target is not None]
        source = pad_tokens([row.source for row in rows], self.specials.pad)
        segments = pad_sequence([row.segments for row in rows if row.segments is not None], batch_first=True)
        return SpanBatch(
            source=TextBatch(source.values, source.lengths, segments),
            target=pad_tokens(targets, self.specials.pad) if targets else None,
            ids=tuple(row.id for row in rows),
            source_texts=tuple(row.source_text for row in rows),
            references=tuple(row.references for row in rows) if targets else (),
            spans=torch.tensor([row.span for row in rows]) if targets else None,
            windows=tuple(row.window for row in rows if row.window is not None),
        )


def make_windows(
    examples: Sequence[QaExample],
    source_tokenizer: TrainedTokenizer,
    target_tokenizer: TrainedTokenizer,
    options: WindowOptions,
    answered: bool = True,
    only_with_answer: bool = False,
) -> tuple[WindowDataset, WindowReport]:
    """Cuts questions and contexts into tokens, and contexts into windows.

    A window that doesn't have the answer wants none; but an answer that is no span of the context, a number that was
    counted say, is wanted of every window.

    Args:
        examples: with ids from 0 in their order.
        source_tokenizer: of questions and contexts.
        target_tokenizer: of the answers.
        options: lengths.
        answered: make targets.
        only_with_answer: leave out the windows of answerable questions that don't have the answer.

    Returns:
        the windows, and what was counted.
    """
    questions = source_tokenizer.encode_batch([example.question for example in examples])
    answers = target_tokenizer.encode_batch([example.references[0] for example in examples])
    passages = {text: Passage.of(text, source_tokenizer) for text in {example.context for example in examples}}
    windows: list[Window] = []
    spans: list[tuple[int, int]] = []
    targets: list[list[int]] = []
    several = unlocated = left_out = 0
    for example, question, answer in zip(examples, questions, answers, strict=True):
        passage = passages[example.context]
        tokens = None if example.span is None else passage.tokens_of(*example.span)
        unlocated += tokens is None and not example.is_impossible
        shift = min(len(question), options.question) + 2
        parts = list(cut(len(passage), options.longest - shift - 1, options.overlap))
        several += len(parts) > 1
        for first, last in parts:
            window = Window(len(windows), example.id, passage, first, last, shift)
            places = None if tokens is None else window.places(*tokens)
            if only_with_answer and tokens is not None and places is None:
                left_out += 1
                continue
            wanted = places is not None or (tokens is None and not example.is_impossible)
            windows.append(window)
            spans.append(places or (0, 0))
            targets.append([*(answer[: options.target] if wanted else []), target_tokenizer.specials.eos])
    report = WindowReport(
        questions=len(examples),
        windows=len(windows),
        several=several,
        unanswerable=sum(example.is_impossible for example in examples),
        unlocated=unlocated,
        cut_questions=sum(len(question) > options.question for question in questions),
        cut_answers=sum(len(answer) > options.target for answer in answers),
        left_out=left_out,
    )
    questions = [question[: options.question] for question in questions]
    return WindowDataset(examples, windows, questions, spans, targets if answered else None, source_tokenizer), report

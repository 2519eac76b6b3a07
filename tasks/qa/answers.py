"""Answers, found window by window, and the best of a question's windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, inf, log

from core.generation.options import Hypothesis
from core.span.passage import Window, sentence_spans, whole_words
from core.span.search import Spans


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        text: as it stands in the context, or as it was written.
        score: what it is ranked by, comparable between the windows of a question.
        start: its first character in the context; -1 where it was written.
        end: the one behind its last.
        probability: among all answers of all windows of its question, 0 until these are known.
    """

    text: str
    score: float
    start: int = -1
    end: int = -1
    probability: float = 0.0


@dataclass(frozen=True)
class WindowAnswers:
    """What one window gave.

    Attributes:
        answers: the best ones, best first; none where the window is empty.
        null: the score of no answer.
        total: the logarithm of the sum of exp(score) over all answers, no answer included where it may be given.
    """

    answers: tuple[Answer, ...]
    null: float
    total: float


@dataclass(frozen=True)
class QuestionAnswers:
    """What all windows of a question gave.

    Attributes:
        answers: the best ones, best first, each once, with their probabilities.
        margin: what no answer scores beyond the best answer; inf where there is none.
        null_probability: of no answer.
    """

    answers: tuple[Answer, ...]
    margin: float
    null_probability: float

    def best(self, threshold: float) -> str:
        """The best answer, or the empty text where no answer's margin is above the threshold."""
        return "" if self.margin > threshold or not self.answers else self.answers[0].text


def pointed(window: Window, spans: Spans, row: int, unanswerable: bool) -> WindowAnswers:
    """The answers that one of B windows was pointed to."""
    answers = []
    columns = (spans.scores[row].tolist(), spans.starts[row].tolist(), spans.ends[row].tolist())
    for score, first, last in zip(*columns, strict=True):
        if score > -inf:
            text = window.passage.text
            start, end = whole_words(text, *window.characters(first, last))
            answers.append(Answer(text[start:end], score, start, end))
    null, total = float(spans.null[row]), float(spans.total[row])
    return WindowAnswers(tuple(answers), null, add_logs([total, null]) if unanswerable else total)


def written(hypotheses: Sequence[tuple[str, Hypothesis]], null: float) -> WindowAnswers:
    """The answers that were written for a window: they are ranked by their log-probability."""
    answers = [Answer(text, found.log_prob) for text, found in hypotheses if text]
    return WindowAnswers(tuple(sorted(answers, key=lambda answer: -answer.score)), null, 0.0)


def merge(windows: Sequence[WindowAnswers], count: int) -> QuestionAnswers:
    """Chooses among all windows of a question.

    An answer that several windows gave is there once, with its best score. The score of no answer is the lowest that a
    window gave it: one window with an answer is enough.

    Args:
        windows: of one question, at least one.
        count: how many answers are wanted.
    """
    ordered = sorted((answer for window in windows for answer in window.answers), key=lambda answer: -answer.score)
    once: dict[tuple[str, int, int], Answer] = {}
    for answer in ordered:
        once.setdefault((answer.text, answer.start, answer.end), answer)
    null = min(window.null for window in windows)
    total = add_logs([window.total for window in windows])
    best = [replace(each, probability=exp(min(each.score - total, 0.0))) for each in list(once.values())[:count]]
    margin = null - best[0].score if best else inf
    return QuestionAnswers(tuple(best), margin, exp(min(null - total, 0.0)) if total > -inf else 1.0)


def add_logs(values: Sequence[float]) -> float:
    """The logarithm of the sum of exp(value); -inf for none."""
    highest = max(values, default=-inf)
    return highest if highest == -inf else highest + log(sum(exp(value - highest) for value in values))


def in_its_sentence(answer: Answer, context: str) -> str:
    """The sentences that an answer stands in, with the answer in double brackets; empty for one that was written."""
    if answer.start < 0:
        return ""
    around = [(begin, end) for begin, end in sentence_spans(context) if begin < answer.end and end > answer.start]
    begin, end = min([answer.start, *(b for b, _ in around)]), max([answer.end, *(e for _, e in around)])
    marked = f"{context[begin : answer.start]}[[{answer.text}]]{context[answer.end : end]}"
    return " ".join(marked.split())

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.batch import TextBatch
from core.errors import ConfigError
from core.generation import Hypothesis
from core.metrics.base import CorpusMetric, Scored
from core.span.batch import SpanBatch
from core.span.passage import Passage, Window
from core.span.search import best_spans
from core.tokenization import TokenizerOptions
from core.tokenization.store import train_tokenizer
from tasks.qa.answers import Answer, WindowAnswers, add_logs, merge, pointed, written
from tasks.qa.builtin import BuiltInCorpus
from tasks.qa.corpus import QaExample
from tasks.qa.data import QaData
from tasks.qa.metrics import AccuracyByTask
from tasks.qa.windows import WindowDataset, WindowOptions, WindowReport, make_windows
from tests.contracts.metric import MetricContract

CONTEXT = "Anna went home. Boris saw Clara there. David slept. Emma ate an apple in the garden."
QUESTION = "Who saw Clara?"
TOKENIZER = train_tokenizer([CONTEXT, QUESTION, "two"], TokenizerOptions("words", 100, 1))


def example(answer: str, start: int | None = None, impossible: bool = False) -> QaExample:
    place = CONTEXT.find(answer) if start is None else start
    return QaExample(0, "q", CONTEXT, QUESTION, (answer,) if not impossible else (), (place,), impossible)


def windows(*examples: QaExample, longest: int = 14, only: bool = False) -> tuple[WindowDataset, WindowReport]:
    options = WindowOptions(longest=longest, overlap=2, question=4, target=3)
    numbered = [replace(each, id=number) for number, each in enumerate(examples)]
    return make_windows(numbered, TOKENIZER, TOKENIZER, options, only_with_answer=only)


def test_a_source_is_question_and_window_with_their_parts_marked() -> None:
    dataset, _ = windows(example("Boris"), longest=40)
    (row,) = [dataset[0]]
    question = TOKENIZER.encode(QUESTION)
    context = TOKENIZER.encode(CONTEXT)
    assert row.source.tolist() == [1, *question, 2, *context, 2]
    assert row.segments is not None
    assert row.segments.tolist() == [0] * 6 + [1] * 4 + [2] * 5 + [3] * 3 + [4] * 8 + [0]
    assert dataset.source_lengths.tolist() == [len(row.source)]


def test_the_span_and_the_target_say_the_same() -> None:
    dataset, report = windows(example("saw Clara"), example("apple"))
    assert report.several == 2
    found: dict[int, int] = {0: 0, 1: 0}
    for index in range(len(dataset)):
        row = dataset[index]
        assert row.target is not None
        start, end = row.span
        said = TOKENIZER.decode(row.target.tolist())
        pointed_at = TOKENIZER.decode(row.source[start : end + 1].tolist()) if start else ""
        assert said == pointed_at
        assert row.window is not None
        if start:
            found[row.id] += 1
            begin, stop = row.window.characters(start, end)
            assert CONTEXT[begin:stop] == row.references[0]
    assert min(found.values()) >= 1


def test_what_windows_want() -> None:
    dataset, report = windows(example("two", -1), example("", impossible=True))
    wanted = {row.id: {tuple(each.target.tolist()) for each in rows if each.id == row.id and each.target is not None}
              for rows in [[dataset[index] for index in range(len(dataset))]] for row in rows}  # fmt: skip
    eos = TOKENIZER.specials.eos
    assert wanted == {0: {(*TOKENIZER.encode("two"), eos)}, 1: {(eos,)}}  # what can't be located is wanted of each
    assert (report.unlocated, report.unanswerable) == (1, 1)


def test_windows_without_the_answer_may_be_left_out() -> None:
    every, _ = windows(example("apple"))
    some, report = windows(example("apple"), only=True)
    assert report.left_out == len(every) - len(some) > 0
    assert all(some[index].span != (0, 0) for index in range(len(some)))


def test_long_questions_and_answers_are_cut_and_counted() -> None:
    long = replace(example("went home. Boris saw"), question=QUESTION + " Clara Clara")
    dataset, report = windows(long, longest=40)
    assert (report.cut_questions, report.cut_answers) == (1, 1)
    target = dataset[0].target
    assert target is not None
    assert len(target) == 4
    assert dataset[0].source.tolist()[1:6] == [*TOKENIZER.encode(QUESTION), 2]


def test_an_empty_context_is_one_window_of_nothing() -> None:
    dataset, _ = windows(QaExample(0, "q", "", QUESTION, (), (), True))
    assert dataset[0].source.tolist() == [1, *TOKENIZER.encode(QUESTION), 2, 2]
    batch = dataset.collate([dataset[0]])
    assert isinstance(batch.source, TextBatch)
    assert batch.source.segments is not None
    assert not batch.source.segments.any()


def test_lengths_that_leave_no_room_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be above max_question_length"):
        WindowOptions(longest=20, overlap=8, question=10)
    with pytest.raises(ConfigError, match="max_target_length"):
        WindowOptions(target=0)


# Batches


def test_batches_have_both_forms_and_keep_their_budget(tmp_path: Path) -> None:
    corpus = BuiltInCorpus(60, 12, 12)
    data = QaData(corpus, TokenizerOptions("words", 200, 1), batch_tokens=400, cache_dir=tmp_path)
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert len(batches) >= 3
    assert sorted(each for batch in batches for each in batch.ids) == list(range(60))
    for batch in batches:
        assert isinstance(batch, SpanBatch)
        assert isinstance(batch.source, TextBatch)
        assert batch.target is not None
        assert batch.spans is not None
        assert batch.source.segments is not None
        assert batch.source.segments.shape == batch.source.values.shape
        assert len(batch) == 1 or batch.source.values.numel() <= 400
        for row, window in enumerate(batch.windows):
            start, end = batch.spans[row].tolist()
            if start:
                first, last = window.characters(start, end)
                assert window.passage.text[first:last] == batch.references[row][0]
    table = data.describe(["train", "val"])
    assert table.splitlines()[1].split()[:4] == ["train", "60", "0", "12"]  # a fifth of them count


# Answers


def test_the_best_window_wins_wherever_it_is() -> None:
    good = WindowAnswers((Answer("garden", 5.0, 3, 9), Answer("home", 1.0, 0, 2)), -1.0, add_logs([5.0, 1.0]))
    later = WindowAnswers((Answer("apple", 4.0, 12, 17), Answer("garden", 3.0, 3, 9)), 2.0, add_logs([4.0, 3.0]))
    for order in ([good, later], [later, good]):
        found = merge(order, 3)
        assert [answer.text for answer in found.answers] == ["garden", "apple", "home"]
        assert found.margin == -1.0 - 5.0  # the window that is the least silent
        total = sum(math.exp(score) for score in (5, 1, 4, 3))
        assert found.answers[0].probability == pytest.approx(math.exp(5) / total)
    assert merge([good, later], 1).answers == found.answers[:1]


def test_an_answer_must_be_better_than_none() -> None:
    found = merge([WindowAnswers((Answer("x", 1.0),), 3.0, 3.2)], 1)
    assert found.margin == 2.0
    assert (found.best(1.5), found.best(2.0)) == ("", "x")
    nothing = merge([WindowAnswers((), 0.0, -math.inf)], 1)
    assert (nothing.best(100.0), nothing.null_probability) == ("", 1.0)


def test_all_spans_and_none_share_one_probability() -> None:
    passage = Passage.of(CONTEXT, TOKENIZER)
    window = Window(0, 0, passage, 0, len(passage), 3)
    torch.manual_seed(0)
    scores = torch.randn(2, 1, len(passage) + 4)
    scores[:, :, 1:3], scores[:, :, -1] = -math.inf, -math.inf
    spans = best_spans(scores[0], scores[1], 100, 10_000)
    found = merge([pointed(window, spans, 0, unanswerable=True)], 10_000)
    assert len(found.answers) == len(passage) * (len(passage) + 1) // 2
    assert sum(answer.probability for answer in found.answers) + found.null_probability == pytest.approx(1, abs=1e-4)
    without = merge([pointed(window, spans, 0, unanswerable=False)], 10_000)
    assert sum(answer.probability for answer in without.answers) == pytest.approx(1, abs=1e-4)
    assert all(CONTEXT[answer.start : answer.end] == answer.text for answer in found.answers)


def test_part_of_a_word_is_pointed_at_as_the_whole_word() -> None:
    passage = Passage.of(CONTEXT, train_tokenizer([CONTEXT], TokenizerOptions("characters", 100, 1)))
    window = Window(0, 0, passage, 0, len(passage), 0)
    start, end = torch.full((2, 1, len(passage)), -math.inf)
    start[0, CONTEXT.index("lara")], end[0, CONTEXT.index("lara") + 2] = 1.0, 1.0
    answer = pointed(window, best_spans(start, end, 10, 1), 0, unanswerable=False).answers[0]
    assert (answer.text, answer.start) == ("Clara", CONTEXT.index("Clara"))


def test_what_is_written_is_ranked_by_its_probability() -> None:
    hypotheses = [
        ("short", Hypothesis((5,), 0.5, math.log(0.2), True)),
        ("", Hypothesis((), 0.4, math.log(0.5), True)),
        ("long", Hypothesis((6,), 0.3, math.log(0.3), True)),
    ]
    found = merge([written(hypotheses, math.log(0.5))], 2)
    assert [answer.text for answer in found.answers] == ["long", "short"]
    assert found.answers[0].probability == pytest.approx(0.3)
    assert found.margin == pytest.approx(math.log(0.5 / 0.3))


# Accuracy by task


class TestAccuracyByTask(MetricContract):
    def make(self) -> CorpusMetric:
        return AccuracyByTask(["qa1", "qa2"] * 7)


def test_each_task_counts_the_same() -> None:
    metric = AccuracyByTask(["qa10", "qa2", "qa2", "qa2", "qa2"])
    examples = [
        Scored(0, "x", ("y",)),
        *(Scored(number, "s,e", ("s,e", "S,E")) for number in (1, 2)),
        Scored(3, " jeff", ("Bill", "Jeff")),
        Scored(4, "", ("a",)),
    ]
    scores = metric.score(examples)
    assert metric.names == ("accuracy qa2", "accuracy qa10", "accuracy", "failed")
    assert [scores[name].value for name in metric.names] == [75.0, 0.0, 37.5, 2]

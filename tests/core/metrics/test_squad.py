from __future__ import annotations

import random
from math import isnan

import pytest

from core.errors import ConfigError, DataError
from core.metrics.base import CorpusMetric, Scored
from core.metrics.squad import Doubted, SquadMetric, best_threshold, exact_match, f1, normalise_answer, scores_of
from tests.contracts.metric import MetricContract

WORDS = ("a", "the", "An", "red", "Red.", "house", "of", "(the)", "--", "theatre", "", "7,000")


def texts(count: int) -> list[str]:
    rng = random.Random(1)
    return [" ".join(rng.choice(WORDS) for _ in range(rng.randint(0, 5))) for _ in range(count)]


class TestVersion1(MetricContract):
    def make(self) -> CorpusMetric:
        return SquadMetric()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Theatre", "theatre"),  # articles go as words only
        ("an apple a day", "apple day"),
        ("U.S.A.", "usa"),  # signs go before articles are looked for
        ("A.", ""),
        ("the-end", "theend"),
        ("don't", "dont"),
        ("“the” end", "“ ” end"),  # only ASCII's signs go
        ("\tNew\nYork ", "new york"),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert normalise_answer(text) == expected


def test_normalisation_is_done_once() -> None:
    for text in texts(200):
        once = normalise_answer(text)
        assert once == " ".join(once.split())
        assert once == once.lower()


@pytest.mark.parametrize(
    ("said", "wanted", "expected"),
    [
        ("the red house", "red house", 1.0),
        ("red", "a red house", 2 * 1.0 * 0.5 / 1.5),  # precision 1, recall 1/2
        ("red red house", "red house house", 2 / 3),  # each word as often as in both: 2 of 3 and 2 of 3
        ("blue", "red house", 0.0),
    ],
)
def test_f1_of_words(said: str, wanted: str, expected: float) -> None:
    assert f1(said, wanted, "1.1") == pytest.approx(expected)
    assert f1(said, wanted, "2.0") == pytest.approx(expected)


def test_what_is_nothing_but_articles() -> None:
    assert exact_match("the", "a") == 1
    assert f1("the", "a", "1.1") == 0  # the first script finds no common word
    assert f1("the", "a", "2.0") == 1
    assert f1("the", "house", "2.0") == 0
    assert scores_of("", ["the", "house"], "2.0") == (0, 0)  # the article is no answer that counts
    assert scores_of("", ["the"], "2.0") == (1, 1)


def test_f1_is_symmetric_and_1_where_exact() -> None:
    some = texts(60)
    for said in some:
        for wanted in some:
            assert f1(said, wanted, "2.0") == f1(wanted, said, "2.0")
            assert 0 <= f1(said, wanted, "1.1") <= f1(said, wanted, "2.0") <= 1
            if exact_match(said, wanted):
                assert f1(said, wanted, "2.0") == 1


def test_the_best_reference_counts_for_each_score() -> None:
    metric = SquadMetric()
    metric.update([0, 1], ["red house", "x"], [["blue", "the red house of"], ["y"]])
    scores = metric.compute()
    assert scores["exact"] == 0
    assert scores["f1"] == pytest.approx(100 * (2 * 2 / 5) / 2)


def test_version_2_tells_answerable_questions_from_others() -> None:
    metric = SquadMetric("2.0")
    metric.update([0, 1, 2, 3], ["red", "", "", "blue"], [["red"], ["red"], [""], [""]])
    scores = metric.compute()
    assert (scores["exact"], scores["HasAns_exact"], scores["NoAns_f1"]) == (50, 50, 50)
    assert set(scores) == {"exact", "f1", "HasAns_exact", "HasAns_f1", "NoAns_exact", "NoAns_f1"}


def test_version_2_without_unanswerable_questions() -> None:
    metric = SquadMetric("2.0")
    metric.update([0], ["red"], [["red"]])
    scores = metric.compute()
    assert scores["HasAns_f1"] == 100
    assert isnan(scores["NoAns_f1"])


def test_what_can_t_be_scored() -> None:
    with pytest.raises(ConfigError, match=r"must be 1.1 or 2.0"):
        SquadMetric("3")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="question 5 has no reference"):
        SquadMetric().score([Scored(5, "x", ())])


# The threshold


def mean_with(threshold: float, questions: list[Doubted]) -> float:
    """What the threshold gives, counted one by one."""
    answered = [question.margin <= threshold for question in questions]
    pairs = zip(questions, answered, strict=True)
    return 100 * sum(q.score * a if q.has_answer else float(not a) for q, a in pairs) / len(questions)


def test_the_threshold_is_the_best_of_all() -> None:
    rng = random.Random(2)
    for _ in range(100):
        questions = [
            Doubted(rng.choice([-2.0, -1.0, 0.5, 1.0, 3.0]), rng.random(), rng.random() < 0.6)
            for _ in range(rng.randint(1, 12))
        ]
        threshold, mean = best_threshold(questions)
        candidates = [-9.0, -1.5, 0.0, 0.7, 2.0, 9.0, *(question.margin for question in questions)]
        assert mean == pytest.approx(mean_with(threshold, questions))
        assert mean == pytest.approx(max(mean_with(each, questions) for each in candidates))


def test_a_threshold_by_hand() -> None:
    sure, doubtful, silent = Doubted(-5.0, 1.0, True), Doubted(1.0, 0.0, True), Doubted(3.0, 0.0, False)
    threshold, mean = best_threshold([silent, doubtful, sure])
    assert threshold == -2.0  # between -5 and 1: answering the doubtful one gains nothing
    assert mean == pytest.approx(200 / 3)


def test_no_questions_have_no_best_threshold() -> None:
    threshold, mean = best_threshold([])
    assert threshold == 0
    assert isnan(mean)

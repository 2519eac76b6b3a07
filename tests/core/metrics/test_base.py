from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from core.errors import ConfigError, DataError
from core.metrics.base import CorpusMetric, MetricGroup, Score, Scored
from core.metrics.translation import BLEU, ExactMatch
from tests.contracts.metric import EXAMPLES, MetricContract, compute_on_ranks, update


class Ids(CorpusMetric):
    """Shows what it was given: the ids in their order, read as decimal digits."""

    @property
    def names(self) -> tuple[str, ...]:
        return ("ids",)

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        return {"ids": Score(float("".join(str(example.id) for example in examples)), "ids")}


class TestMetricGroup(MetricContract):
    def make(self) -> CorpusMetric:
        return MetricGroup([BLEU(), ExactMatch()])

    def test_refuses_two_numbers_of_one_name(self) -> None:
        with pytest.raises(ConfigError, match="bleu is given by two metrics"):
            MetricGroup([BLEU(), ExactMatch(), BLEU()])


def test_examples_come_once_and_in_order_of_their_ids() -> None:
    metric = Ids()
    for ids in ([5, 2], [9, 5], [1]):
        metric.update(ids, [""] * len(ids), [[""]] * len(ids))
    assert metric.compute() == {"ids": 1259.0}


def test_the_first_of_duplicates_counts() -> None:
    metric = ExactMatch()
    metric.update([0], ["right"], [["right"]])
    metric.update([0], ["wrong"], [["right"]])
    assert metric.compute() == {"exact_match": 100.0}


def test_the_lowest_rank_of_duplicates_counts(tmp_path: Path) -> None:
    shares = [[Scored(0, "right", ("right",))], [Scored(0, "wrong", ("right",)), Scored(1, "no", ("right",))]]
    outcomes = compute_on_ranks(ExactMatch(), shares, tmp_path / "ranks")
    assert [scores for scores, _ in outcomes] == [{"exact_match": 50.0}] * 2


def test_a_failure_on_rank_zero_reaches_all_ranks(tmp_path: Path) -> None:
    class Failing(Ids):
        def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
            raise ValueError(f"{len(examples)} examples")

    outcomes = compute_on_ranks(Failing(), [EXAMPLES[:2], EXAMPLES[2:]], tmp_path / "ranks")
    assert [str(error) for error in outcomes] == ["5 examples"] * 2


def test_texts_of_different_number_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        BLEU().update([0, 1], ["a"], [["a"], ["b"]])


def test_an_example_without_reference_is_refused() -> None:
    with pytest.raises(DataError, match="example 2 of 2 has no reference"):
        update(BLEU(), [Scored(0, "a", ("a",)), Scored(1, "a", ())]).compute()

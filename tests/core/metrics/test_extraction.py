from __future__ import annotations

from math import isnan

import pytest

from core.metrics.base import CorpusMetric, Scored
from core.metrics.extraction import Extraction, longest_runs
from tests.contracts.metric import MetricContract, update

SOURCE = "Anna calls Ben at noon. Ben, who is late, runs to the bus."


class TestExtraction(MetricContract):
    def make(self) -> CorpusMetric:
        return Extraction()


def test_a_copy_is_not_novel() -> None:
    scores = update(Extraction(), [Scored(0, SOURCE, ("x",), SOURCE)]).compute()
    novel = {f"novel_{n}": 0.0 for n in range(1, 5)}
    assert scores == {**novel, "copied": 100.0, "density": 13.0, "compression": 1.0}


def test_what_is_new_by_hand() -> None:
    # Words new: takes, a. Pairs: (anna calls) (calls ben) (ben takes) (takes a) (a bus) (bus ben) (ben runs): 5 of 7
    # are new. Triples: all but (anna calls ben), 5 of 6; 4-grams 5 of 5. Of the two sentences none is a copy; the
    # runs are of 3 (anna calls ben), 1 (bus), 1 (ben) and 1 (runs) words.
    example = Scored(0, "Anna calls Ben takes a bus. Ben runs!", ("x",), SOURCE)
    scores = update(Extraction(), [example]).compute()
    assert scores == pytest.approx(
        {
            "novel_1": 100 * 2 / 8,
            "novel_2": 100 * 5 / 7,
            "novel_3": 100 * 5 / 6,
            "novel_4": 100.0,
            "copied": 0.0,
            "density": (9 + 1 + 1 + 1) / 8,
            "compression": 13 / 8,
        }
    )


def test_copied_sentences_are_counted_over_the_corpus() -> None:
    examples = [
        Scored(0, "Anna calls Ben at noon. He is late.", ("x",), SOURCE),
        Scored(1, "ANNA CALLS, BEN", ("x",), SOURCE),
    ]
    assert update(Extraction(), examples).compute()["copied"] == pytest.approx(200 / 3)


def test_the_longest_run_counts_wherever_it_begins() -> None:
    assert longest_runs(tuple("abcxab"), tuple("abyabcdab")) == [3, 2]
    assert longest_runs(tuple("xy"), tuple("ab")) == []
    assert longest_runs((), tuple("ab")) == []


def test_what_has_no_source_or_no_word_is_left_out() -> None:
    metric = Extraction()
    some = [Scored(0, "Anna calls", ("x",), SOURCE), Scored(1, "", ("x",), SOURCE), Scored(2, "no source", ("x",))]
    assert update(metric, some).compute()["compression"] == pytest.approx(13 / 2)
    assert metric.signatures()["compression"].endswith("1 of 3 summaries")
    assert all(isnan(value) for value in update(Extraction(), some[1:]).compute().values())

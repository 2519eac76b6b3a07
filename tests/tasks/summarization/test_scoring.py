from __future__ import annotations

import pytest

from core.errors import ConfigError
from core.metrics.base import CorpusMetric, Scored
from core.metrics.rouge import ROUGE
from tasks.summarization.report import MOST, comparison, ranked, summary_report
from tasks.summarization.scoring import LeadROUGE, SummaryLength
from tests.contracts.metric import MetricContract, update

SOURCE = "Anna: I sold the car.\nBen: To whom?\nAnna: To Carl."


class TestLeadROUGE(MetricContract):
    def make(self) -> CorpusMetric:
        return LeadROUGE(2)


class TestSummaryLength(MetricContract):
    def make(self) -> CorpusMetric:
        return SummaryLength()


def test_lead_is_the_beginning_of_the_source_whatever_was_written() -> None:
    scores = update(LeadROUGE(1), [Scored(0, "nothing of this", ("Anna: I sold the car.",), SOURCE)]).compute()
    assert scores == {f"lead1_{name}": 100.0 for name in ("rouge1", "rouge2", "rougeL", "rougeLsum")}


def test_lead_has_as_many_sentences_as_it_is_told() -> None:
    # 8 words, 5 of which are the reference's: P = 5/8, R = 1, F = 10/13
    scores = update(LeadROUGE(2), [Scored(0, "", ("Anna: I sold the car.",), SOURCE)]).compute()
    assert scores["lead2_rouge1"] == pytest.approx(100 * 10 / 13)


def test_no_sentence_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.lead must be at least 1 sentence, got 0"):
        LeadROUGE(0)


def test_lengths_by_hand() -> None:
    examples = [Scored(0, "Two words.", ("one", "one two three")), Scored(1, "", ("a b c d",))]
    assert update(SummaryLength(), examples).compute() == {"words": 1.0, "reference_words": 3.0}


def test_the_table_has_the_model_lead_and_the_references() -> None:
    examples = [Scored(0, "Anna sold the car.", ("Anna sold a car to Carl.",), SOURCE)]
    heading, model, lead, reference = (line.split() for line in comparison(examples, 1, "newline").splitlines())
    assert heading[:5] == ["rouge1", "rouge2", "rougeL", "rougeLsum", "words"]
    # 3 of 4 and of 6 words: F = 2 * 3 / 10; the pair "anna sold" of 3 and of 5: F = 2 / 8
    assert model[:3] == ["model", "60.0", "25.0"]
    assert model[5] == "4.0"
    assert lead[0] == "LEAD-1"
    assert lead[5] == "5.0"
    assert reference[:6] == ["reference", "-", "-", "-", "-", "6.0"]
    assert len({len(model), len(lead), len(reference), len(heading) + 1}) == 1


def test_the_best_come_first_by_rouge2() -> None:
    # The last two share no pair with their references, but two and three words in the same order.
    examples = [
        Scored(0, "the car is red", ("a car was red",), SOURCE),
        Scored(1, "the car is red", ("the car is red",), SOURCE),
        Scored(2, "the is car red", ("the car is red",), SOURCE),
    ]
    assert [example.id for _, _, example in ranked(examples, "newline")] == [1, 2, 0]
    two, longest, _ = ranked(examples, "newline")[1]
    expected = update(ROUGE(), [examples[2]]).compute()
    assert (two, longest) == (expected["rouge2"], expected["rougeL"])


def test_the_report_shows_the_best_and_the_worst() -> None:
    examples = [Scored(n, "the car" if n % 2 else "a bus", ("the car",), f"document {n}\n{SOURCE}") for n in range(40)]
    best, worst = summary_report(examples, 3, "newline").split("Worst by rouge2")
    assert best.count("rouge2 100.0") == MOST
    assert worst.count("rouge2 0.0") == MOST
    assert "document   document 1 Anna: I sold the car. Ben: To whom?" in best
    assert "model      a bus" in worst


def test_nothing_to_report_on_is_no_error() -> None:
    assert summary_report([], 3, "newline") == ""

from __future__ import annotations

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from core.errors import ConfigError, DataError
from core.metrics.base import CorpusMetric, Scored
from core.metrics.rouge import ROUGE, lead, split_sentences
from tests.contracts.metric import MetricContract, update

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
EXAMPLES = [
    Scored(0, "Anna calls Ben.\nThey are meeting at noon.", ("Ben is called.\nHe meets Anna at noon.", "A call.")),
    Scored(1, "The meetings moved", ("Ben moved the meeting to the 3rd floor.",)),
    Scored(2, "", ("Nothing was said.",)),
    Scored(3, "They are meeting at noon.\nAnna calls Ben.", ("Anna calls Ben.\nThey are meeting at noon.",)),
]


class TestROUGE(MetricContract):
    def make(self) -> CorpusMetric:
        return ROUGE()


class TestBootstrappedROUGE(MetricContract):
    def make(self) -> CorpusMetric:
        return ROUGE("punctuation", n_bootstrap=20)


def test_scores_equal_rouge_scores() -> None:
    scorer = RougeScorer(list(NAMES), use_stemmer=True)
    expected = {}
    for name in NAMES:
        best = [
            max(scorer.score(reference, example.hypothesis)[name].fmeasure for reference in example.references)
            for example in EXAMPLES
        ]
        expected[name] = 100 * sum(best) / len(EXAMPLES)
    scores = update(ROUGE(), EXAMPLES).compute()
    assert scores == pytest.approx(expected)
    # The last one's sentences stand in another order: in one line the common subsequence is of 5 words of 8.
    assert ROUGE().each(EXAMPLES[3:]) == [pytest.approx([100, 100 * 6 / 7, 100 * 5 / 8, 100])]


def test_sentences_of_one_line_are_taken_apart() -> None:
    flat = [Scored(0, "They are meeting at noon. Anna calls Ben.", ("Anna calls Ben. They are meeting at noon.",))]
    assert ROUGE().each(flat)[0][3] == pytest.approx(100 * 5 / 8)
    assert ROUGE("punctuation").each(flat)[0][3] == pytest.approx(100)


def test_the_stemmer_is_on() -> None:
    assert ROUGE().each([Scored(0, "meetings", ("meeting",))])[0][0] == 100


def test_the_interval_is_that_of_resampled_corpora() -> None:
    examples = [Scored(id_, "a" if id_ % 3 else "b", ("a",)) for id_ in range(90)]
    scores = update(ROUGE(n_bootstrap=400), examples).compute()
    assert scores["rouge1"] == pytest.approx(100 * 60 / 90)
    assert scores["rouge1_mean"] == pytest.approx(100 * 60 / 90, abs=1.0)
    deviation = 100 * np.sqrt(2 / 9 / 90)  # of the mean of 90 draws that are right with probability 2/3
    assert scores["rouge1_ci"] == pytest.approx(1.96 * deviation, rel=0.15)


@pytest.mark.parametrize("draws", [-1, 1])
def test_an_interval_from_one_draw_is_refused(draws: int) -> None:
    with pytest.raises(ConfigError, match="n_bootstrap must be 0"):
        ROUGE(n_bootstrap=draws)


def test_a_summary_without_reference_is_refused() -> None:
    with pytest.raises(DataError, match="example 4 has no reference summary"):
        update(ROUGE(), [Scored(4, "a", ())]).compute()


def test_signatures_tell_the_options() -> None:
    metric = update(ROUGE(), EXAMPLES)
    metric.compute()
    assert metric.signatures()["rougeL"].endswith("rougeL F|stemmer:yes|sentences:newline|references:highest F")
    assert metric.signatures()["rougeL"].startswith("rouge_score 0.")


def test_sentences_end_before_a_capital_or_a_digit() -> None:
    text = 'He pays 3.5 dollars. 2 of them left! "Why?" They asked, e.g. me.\n\n A new line without a stop \nend.'
    assert split_sentences(text) == [
        "He pays 3.5 dollars.",
        "2 of them left!",
        '"Why?"',
        "They asked, e.g. me.",
        "A new line without a stop",
        "end.",
    ]
    assert split_sentences(" \n") == []


def test_lead_takes_lines_or_sentences() -> None:
    assert lead("One. Two is it. Three! Four.", 3) == "One.\nTwo is it.\nThree!"
    assert lead("A: Hi. How are you?\n\nB: Fine.\nA: Good.", 2) == "A: Hi. How are you?\nB: Fine."
    assert lead("One.", 3) == "One."
    assert lead("") == ""
    with pytest.raises(ConfigError, match="at least 1 sentence, got 0"):
        lead("One.", 0)

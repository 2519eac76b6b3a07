from __future__ import annotations

import pytest

from core.metrics.base import Scored
from tasks.qa.corpus import QaExample
from tasks.qa.report import WRONG, answer_report, asks_for, error_of

CONTEXT = "The tower was built in 1889. Gustave Eiffel drew it."


@pytest.mark.parametrize(
    ("hypothesis", "references", "kind"),
    [
        ("Eiffel", ["Gustave Eiffel"], "part"),
        ("Gustave Eiffel drew", ["Gustave Eiffel"], "more"),
        ("Eiffel drew", ["Gustave Eiffel"], "overlap"),
        ("1889", ["Gustave Eiffel"], "other"),
        ("the", ["Gustave Eiffel"], "silent"),
        ("Eiffel", [""], "invented"),
        ("Eiffel drew", ["1889", "Gustave Eiffel drew it"], "part"),  # by the reference that is nearest
    ],
)
def test_how_an_answer_is_wrong(hypothesis: str, references: list[str], kind: str) -> None:
    assert error_of(hypothesis, references) == kind
    assert kind in WRONG


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("How many came?", "how many"),
        ("In which year, and who came?", "which"),
        ("Whoever came?", "other"),
        ("It was built when?", "when"),
    ],
)
def test_what_a_question_asks_for(question: str, word: str) -> None:
    assert asks_for(question) == word


def report_of(hypotheses: list[str]) -> str:
    answers = (("Who drew it?", "Gustave Eiffel"), ("When was it built?", "1889"), ("Who was it?", "Gustave Eiffel"))
    asked = [
        QaExample(row, f"q{row}", CONTEXT, question, (answer,), (CONTEXT.index(answer),))
        for row, (question, answer) in enumerate(answers)
    ]
    examples = [Scored(each.id, text, each.answers) for each, text in zip(asked, hypotheses, strict=True)]
    return answer_report(examples, asked, "1.1")


def test_a_report_groups_scores_and_shows_what_is_wrong() -> None:
    lines = report_of(["Gustave Eiffel", "1889", "Eiffel"]).splitlines()
    assert lines[:3] == [
        "question  questions  exact     f1",
        "who               2   50.0   83.3",
        "when              1  100.0  100.0",
    ]
    assert "2                            2   50.0   83.3" in lines  # words of the answer
    assert "up to 50                      3   66.7  88.9" in lines
    at = lines.index("wrong, of 3              1")
    assert lines[at + 1].split() == ["a", "part", "of", "the", "reference", "1"]
    assert lines[lines.index("q2: f1 67") :] == [
        "q2: f1 67",
        "  question   Who was it?",
        "  reference  Gustave Eiffel",
        "  model      Eiffel",
        "  context    [[Gustave Eiffel]] drew it.",
    ]


def test_a_report_of_right_answers_shows_none() -> None:
    assert report_of(["Gustave Eiffel", "1889", "gustave eiffel"]).endswith("wrong, of 3  0\n")

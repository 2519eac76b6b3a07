from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from core.metrics.base import Scored
from core.metrics.dialogue import words_and_signs
from tasks.dialogue.baselines import MostFrequentReply, NearestHistory, compare
from tasks.dialogue.dialogues import Dialogue, Exchange, exchanges
from tasks.dialogue.readers import alternating

PAIRS = (
    ("where is the station", "over there"),
    ("where is the cat", "on the mat"),
    ("is it late", "yes"),
    ("are you a cat", "yes"),
    ("the the the end", "bye"),
)


def training() -> list[Exchange]:
    return exchanges([Dialogue(alternating(pair, last="system")) for pair in PAIRS], "system")


def exchange(question: str) -> Exchange:
    return exchanges([Dialogue(alternating((question, "?"), last="system"))], "system")[0]


def test_the_most_frequent_reply() -> None:
    assert MostFrequentReply(training())(exchange("hello")) == "yes"


def test_similarities_are_cosines_of_tf_idf() -> None:
    histories = [Counter(words_and_signs(question)) for question, _ in PAIRS]
    query = Counter(words_and_signs("where is the the cat"))
    vocabulary = sorted({word for words in (*histories, query) for word in words})

    def vector(words: Counter[str]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        idf = {word: math.log((1 + len(PAIRS)) / (1 + sum(word in each for each in histories))) + 1 for word in words}
        return np.array([(1 + math.log(words[word])) * idf[word] if word in words else 0.0 for word in vocabulary])

    rows = np.stack([vector(words) for words in histories])
    expected = rows @ vector(query) / np.linalg.norm(rows, axis=1)
    assert NearestHistory(training()).similarities(tuple(query.elements())) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("question", "reply"), [("where is my cat", "on the mat"), ("late", "yes"), ("nothing known", "over there")]
)
def test_the_nearest_history_replies(question: str, reply: str) -> None:
    assert NearestHistory(training())(exchange(question)) == reply


def test_a_table_has_all_systems() -> None:
    examples = [Scored(number, "yes", (reply,)) for number, (_, reply) in enumerate(PAIRS)]
    text = compare(examples, training(), training())
    header, *rows = [line.split() for line in text.splitlines()[:5]]
    assert header[-1] == "exact_match"
    assert [float(row[-1]) for row in rows] == [40, 40, 100, 100]  # two of five replies are "yes"
    assert "100.00 %  yes" in text

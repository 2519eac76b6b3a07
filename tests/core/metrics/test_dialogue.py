from __future__ import annotations

from math import exp, isnan

import pytest

from core.metrics.base import CorpusMetric, Scored
from core.metrics.dialogue import (
    DialogueExactMatch,
    Distinct,
    ReplyLength,
    TopReply,
    WordF1,
    WordPerplexity,
    normalize_answer,
    word_f1,
)
from tests.contracts.metric import MetricContract


class TestDistinct(MetricContract):
    def make(self) -> CorpusMetric:
        return Distinct()


class TestWordF1(MetricContract):
    def make(self) -> CorpusMetric:
        return WordF1()


class TestReplyLength(MetricContract):
    def make(self) -> CorpusMetric:
        return ReplyLength()


class TestTopReply(MetricContract):
    def make(self) -> CorpusMetric:
        return TopReply()


class TestDialogueExactMatch(MetricContract):
    def make(self) -> CorpusMetric:
        return DialogueExactMatch([0] * 3 + [1] * 10)


def values(metric: CorpusMetric, *pairs: tuple[str, str]) -> dict[str, float]:
    examples = [Scored(number, hypothesis, (reference,)) for number, (hypothesis, reference) in enumerate(pairs)]
    return {name: score.value for name, score in metric.score(examples).items()}


def test_distinct_counts_over_the_corpus_and_not_across_replies() -> None:
    scores = values(Distinct(), ("a b a", ""), ("A b", ""), ("", ""))
    assert scores["distinct_1"] == pytest.approx(100 * 2 / 5)
    assert scores["distinct_2"] == pytest.approx(100 * 2 / 3)  # ab, ba, ab


def test_replies_without_a_pair_of_words_have_no_distinct_2() -> None:
    scores = values(Distinct(), ("a", ""), ("b", ""))
    assert scores["distinct_1"] == 100
    assert isnan(scores["distinct_2"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [("The cat, an apple.", "cat apple"), ("it's A-one_two", "it s one two"), ("theatre  a", "theatre"), ("?!", "")],
)
def test_the_normalisation_is_parlais(text: str, expected: str) -> None:
    assert normalize_answer(text) == expected


def test_f1_is_the_harmonic_mean_of_shared_words() -> None:
    precision, recall = 2 / 3, 2 / 4  # of "dog dog runs" against "dog runs very fast": dog, runs
    assert word_f1("the dog dog runs!", "A dog runs very fast") == pytest.approx(
        2 * precision * recall / (precision + recall)
    )
    assert word_f1("", "a dog") == word_f1("the", "the") == word_f1("cat", "dog") == 0


def test_f1_takes_the_best_reference() -> None:
    assert WordF1().score([Scored(0, "yes", ("no", "yes sir", "Yes."))])["f1"].value == 100


def test_the_most_frequent_reply_is_named_with_its_share() -> None:
    metric = TopReply()
    score = metric.score([Scored(n, text, ("",)) for n, text in enumerate(["yes ", "no", "yes", "maybe"])])["top_reply"]
    assert score.value == 50
    assert "'yes'" in score.signature


def test_a_dialogue_is_right_when_all_of_its_replies_are() -> None:
    pairs = [("a", "a"), ("b  b", "b b"), ("c", "x"), ("d", "d")]
    scores = values(DialogueExactMatch([0, 0, 1, 1]), *pairs)
    assert scores == {"dialogue_exact_match": 50}


def test_word_perplexity_counts_each_end_as_a_word() -> None:
    scores = values(WordPerplexity(lambda: 12.0), ("", "one two three"), ("", "four"))
    assert scores["word_perplexity"] == pytest.approx(exp(12 / 6))


def test_lengths_are_those_of_the_first_reference() -> None:
    scores = ReplyLength().score([Scored(0, "a b c", ("a", "a b")), Scored(1, "", ("a b c",))])
    assert {name: score.value for name, score in scores.items()} == {"reply_length": 1.5, "reference_length": 2.0}

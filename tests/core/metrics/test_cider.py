from __future__ import annotations

import json
from collections.abc import Sequence
from math import exp, log
from pathlib import Path

import pytest

from core.errors import ConfigError
from core.metrics import ptb
from core.metrics.base import CorpusMetric, Scored
from core.metrics.cider import CiderD, SentenceCider, document_frequencies
from tests.contracts.metric import MetricContract, update

RECORDED = json.loads((Path(__file__).parent / "data" / "captions.json").read_text(encoding="utf-8"))
EXAMPLES = [
    Scored(id_, hypothesis, tuple(references))
    for id_, (hypothesis, references) in enumerate(zip(RECORDED["hypotheses"], RECORDED["references"], strict=True))
]
# Three images; "a" is in the references of all, "dog" of two, the others of one.
CORPUS: list[list[tuple[str, ...]]] = [[("a", "dog"), ("a", "dog", "runs")], [("a", "dog", "sleeps")], [("a", "cat")]]


class TestCiderD(MetricContract):
    def make(self) -> CorpusMetric:
        return CiderD()


def score(cider: SentenceCider, candidate: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    return cider.score(candidate, cider.prepare(references))


def test_sentences_equal_those_recorded_of_coco_caption() -> None:
    each = CiderD().sentences(EXAMPLES)
    assert each == pytest.approx(RECORDED["cider_d of each"], abs=1e-9)
    assert update(CiderD(), EXAMPLES).compute() == {"cider_d": pytest.approx(sum(each) / len(each))}


def test_scores_equal_pycocoevalcaps() -> None:
    reference = pytest.importorskip("pycocoevalcap.cider.cider")
    words = {example.id: [" ".join(ptb.tokenize(example.hypothesis))] for example in EXAMPLES}
    targets = {example.id: [" ".join(ptb.tokenize(text)) for text in example.references] for example in EXAMPLES}
    mean, each = reference.Cider().compute_score(targets, words)
    assert update(CiderD(), EXAMPLES).compute() == {"cider_d": pytest.approx(100 * mean)}
    assert CiderD().sentences(EXAMPLES) == pytest.approx([100 * one for one in each])


def test_one_caption_by_hand() -> None:
    # Unigrams: "a" weighs log 3/3 = 0, dog log 3/2, runs log 3. Against "a dog runs": the candidate's "dog dog" is
    # clipped to one dog; norms 2 dog and sqrt(dog² + runs²). Bigrams: "a dog" is in two images, "dog dog" in none.
    dog, new = log(3 / 2), log(3)
    unigrams = dog * dog / (2 * dog * (dog**2 + new**2) ** 0.5)
    bigrams = dog * dog / ((dog**2 + new**2) ** 0.5 * (dog**2 + new**2) ** 0.5)
    assert score(SentenceCider.of(CORPUS), ["a", "dog", "dog"], [["a", "dog", "runs"]]) == pytest.approx(
        10 * (unigrams + bigrams) / 4
    )


def test_another_length_costs() -> None:
    # One of three words of equal weight is right, and no longer n-gram; two words too many, sigma 6.
    frequencies, count = document_frequencies(CORPUS)
    patient = score(SentenceCider(frequencies, count, sigma=1e9), ["cat", "x", "y"], [["cat"]])
    assert patient == pytest.approx(10 / 3**0.5 / 4)
    usual = score(SentenceCider(frequencies, count), ["cat", "x", "y"], [["cat", "z"]])
    assert usual == pytest.approx(10 / 6**0.5 / 4 * exp(-1 / 72))


def test_the_mean_over_references_counts() -> None:
    cider = SentenceCider.of(CORPUS)
    singles = [score(cider, ["a", "dog", "runs"], [reference]) for reference in CORPUS[0]]
    assert score(cider, ["a", "dog", "runs"], CORPUS[0]) == pytest.approx(sum(singles) / 2)


def test_an_exact_caption_has_the_highest_score() -> None:
    sentence = ["one", "dog", "runs", "fast"]
    assert score(SentenceCider.of(CORPUS), sentence, [sentence]) == pytest.approx(10)
    assert score(SentenceCider.of(CORPUS), [], [sentence]) == 0
    assert score(SentenceCider.of(CORPUS), ["fish"], [sentence]) == 0


def test_the_end_token_tells_a_caption_that_ends_too_early() -> None:
    whole = ["dog", "with", "a", "ball"]
    plain, ending = SentenceCider.of(CORPUS), SentenceCider.of(CORPUS, end="</s>")
    prepared = ending.prepare([whole])
    # Ending in "with a" is an n-gram of no reference, so it costs more than the missing word alone.
    assert ending.score(whole[:3], prepared) < score(plain, whole[:3], [whole])
    assert ending.score(whole, prepared) == pytest.approx(10)
    # A caption cut off by the limit of its length hasn't written the end token.
    assert ending.score(whole, prepared, ended=False) < 10


def test_the_end_token_is_a_word_like_others() -> None:
    written_out = [[(*reference, "</s>") for reference in references] for references in CORPUS]
    assert document_frequencies(CORPUS, "</s>") == document_frequencies(written_out)
    expected = score(SentenceCider.of(written_out), ["a", "dog", "</s>"], written_out[1])
    assert expected > 0
    assert score(SentenceCider.of(CORPUS, "</s>"), ["a", "dog"], CORPUS[1]) == pytest.approx(expected)


def test_tokens_may_be_ids() -> None:
    ids = {word: number for number, word in enumerate(["a", "dog", "runs", "sleeps", "cat", "</s>"])}
    numbered = [[tuple(ids[word] for word in reference) for reference in references] for references in CORPUS]
    by_ids, by_words = SentenceCider.of(numbered, end=ids["</s>"]), SentenceCider.of(CORPUS, end="</s>")
    for place, references in enumerate(CORPUS):
        expected = score(by_words, ["a", "dog", "sleeps"], references)
        assert by_ids.score([0, 1, 3], by_ids.prepare(numbered[place])) == pytest.approx(expected)


def test_document_frequencies_count_images_once() -> None:
    frequencies, count = document_frequencies(CORPUS)
    assert count == 3
    assert [frequencies[gram] for gram in [("a",), ("dog",), ("a", "dog"), ("runs",), ("a", "dog", "runs")]] == [
        3,
        2,
        2,
        1,
        1,
    ]


def test_fewer_images_than_a_frequency_are_refused() -> None:
    with pytest.raises(ConfigError, match="count must be at least the highest document frequency, 3, got 2"):
        SentenceCider(document_frequencies(CORPUS)[0], 2)
    with pytest.raises(ConfigError, match="got 0"):
        SentenceCider.of([])
    with pytest.raises(ConfigError, match="sigma is a number of words above 0, got 0"):
        SentenceCider({}, 1, sigma=0)

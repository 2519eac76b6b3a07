from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from typing import cast

import jiwer
import pytest

from core.errors import ConfigError, DataError
from core.metrics.alignment import ErrorCounts, align_characters, align_words, total
from core.metrics.base import CorpusMetric, MetricGroup, Scored
from core.metrics.normalisers import NormaliserName, make_normaliser
from core.metrics.speech import CharacterErrorRate, WordErrorRate
from tests.contracts.metric import MetricContract, update

# By hand: one substitution (go -> no) of 3 words; two deletions of 2; one insertion of 0; nothing of 1.
BY_HAND = (
    Scored(0, "no on home", ("go on home", "no on home")),
    Scored(1, "", ("yes please",)),
    Scored(2, "uh", ("",)),
    Scored(3, "three", ("three",)),
)


def scores(metric: CorpusMetric, examples: Sequence[Scored]) -> dict[str, float]:
    return update(metric, examples).compute()


def random_corpus(size: int) -> list[Scored]:
    """Utterances of few types, so that alignments are many and errors of all kinds; some are empty."""
    draw = random.Random(1)
    texts = [" ".join(draw.choices(["a", "b", "cc", "ddd"], k=draw.randrange(8))) for _ in range(2 * size)]
    return [Scored(row, texts[row], (texts[size + row],)) for row in range(size)]


class TestWordErrorRate(MetricContract):
    def make(self) -> CorpusMetric:
        return WordErrorRate("lower")

    def test_counts_by_hand(self) -> None:
        # 6 reference words: 1 substituted, 2 deleted, 1 inserted; 3 of 4 utterances wrong.
        expected = {"wer": 400 / 6, "wer_sub": 100 / 6, "wer_del": 200 / 6, "wer_ins": 100 / 6, "ser": 75.0}
        assert scores(self.make(), BY_HAND) == pytest.approx(expected)


class TestBootstrappedWordErrorRate(MetricContract):
    def make(self) -> CorpusMetric:
        return WordErrorRate(n_bootstrap=20)


class TestCharacterErrorRate(MetricContract):
    def make(self) -> CorpusMetric:
        return CharacterErrorRate()

    def test_counts_by_hand(self) -> None:
        # 10 characters with their spaces, 1 substituted; 10 deleted; 2 inserted; 5 right.
        assert scores(self.make(), BY_HAND) == {"cer": pytest.approx(100 * 13 / 25)}


def test_rates_equal_jiwer() -> None:
    examples = random_corpus(200)
    references, hypotheses = [each.references[0] for each in examples], [each.hypothesis for each in examples]
    output = jiwer.process_words(references, hypotheses)
    words = output.hits + output.substitutions + output.deletions
    assert scores(WordErrorRate(), examples) == pytest.approx(
        {
            "wer": 100 * jiwer.wer(references, hypotheses),
            "wer_sub": 100 * output.substitutions / words,
            "wer_del": 100 * output.deletions / words,
            "wer_ins": 100 * output.insertions / words,
            "ser": 100 * sum(one != other for one, other in zip(references, hypotheses, strict=True)) / 200,
        }
    )
    assert scores(CharacterErrorRate(), examples)["cer"] == pytest.approx(100 * jiwer.cer(references, hypotheses))


@pytest.mark.parametrize(("hypothesis", "wer"), [("", 0.0), ("two words", 200.0)])
def test_corpus_without_reference_words_is_scored_as_one_word(hypothesis: str, wer: float) -> None:
    examples = [Scored(0, hypothesis, ("",))]
    assert scores(WordErrorRate(), examples)["wer"] == wer == 100 * jiwer.wer([""], [hypothesis])


def test_the_parts_add_up() -> None:
    result = scores(WordErrorRate(), random_corpus(50))
    assert result["wer_sub"] + result["wer_del"] + result["wer_ins"] == pytest.approx(result["wer"])
    assert min(result["wer_sub"], result["wer_del"], result["wer_ins"]) > 0


def test_reference_that_the_normaliser_empties_is_an_empty_one() -> None:
    examples = [Scored(0, "yes", ("um",)), Scored(1, "Uh, five!", ("[noise] 5",))]
    # By Whisper's: "um" and "[noise]" are no words, "five" and "5" are one.
    assert scores(WordErrorRate("whisper_english"), examples)["wer"] == 100.0


def test_no_reference_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="example 4 has no reference"):
        WordErrorRate().score([Scored(4, "a", ())])


# Alignments


def test_alignment_by_hand() -> None:
    (alignment,) = align_words([Scored(7, "a x d f e", ("a b c d f",))], str)
    assert alignment.id == 7
    assert alignment.counts == ErrorCounts(length=5, substitutions=1, deletions=1, insertions=1)
    assert [pair for pair in alignment.pairs if pair[0] == pair[1]] == [("a", "a"), ("d", "d"), ("f", "f")]
    assert alignment.pairs[-1] == (None, "e")


@pytest.mark.parametrize("align", [align_words, align_characters])
def test_alignment_keeps_both_texts(align: object) -> None:
    assert callable(align)
    for example, alignment in zip(random_corpus(50), align(random_corpus(50), str), strict=True):
        space = " " if align is align_words else ""
        assert space.join(said for said, _ in alignment.pairs if said is not None) == example.references[0]
        assert space.join(heard for _, heard in alignment.pairs if heard is not None) == example.hypothesis


def test_counts_are_added_up() -> None:
    alignments = align_words(BY_HAND, str)
    assert total(alignments) == ErrorCounts(length=6, substitutions=1, deletions=2, insertions=1)
    assert total([]) == ErrorCounts()


# The interval


def test_interval_surrounds_the_rate_and_narrows_with_the_corpus() -> None:
    few, many = (scores(WordErrorRate(n_bootstrap=200), random_corpus(size)) for size in (20, 500))
    for result in (few, many):
        assert abs(result["wer_mean"] - result["wer"]) < result["wer_ci"]
    # The width goes with the root of the size: 5 times narrower for 25 times the corpus, give or take the draw.
    assert 2.5 < few["wer_ci"] / many["wer_ci"] < 10


def test_interval_is_nothing_where_all_utterances_are_alike() -> None:
    result = scores(WordErrorRate(n_bootstrap=10), [Scored(row, "a c", ("a b",)) for row in range(5)])
    assert (result["wer_mean"], result["wer_ci"]) == (50.0, 0.0)


@pytest.mark.parametrize("draws", [1, -1])
def test_too_few_draws_are_refused(draws: int) -> None:
    with pytest.raises(ConfigError, match="n_bootstrap must be 0"):
        WordErrorRate(n_bootstrap=draws)


# Normalisers


@pytest.mark.parametrize(
    ("name", "text", "normalised"),
    [
        ("none", " Yes,\t it's\n 5 ", "Yes, it's 5"),
        ("lower", "Yes,  IT’S 5", "yes, it’s 5"),
        ("lower", "Cafe\u0301", "café"),
        ("lower_no_punctuation", "Yes -- IT’S a 'quote', rock-n-roll: $5.", "yes it's a quote rock n roll 5"),
        ("lower_no_punctuation", "'tis the dogs'", "tis the dogs"),
        ("lower_no_punctuation", "Ünïcödé ＡＢ", "ünïcödé ab"),
        ("whisper_english", "Uh, Mr. Smith can't pay [laughs] twenty-one dollars!", "mister smith can not pay $21"),
        ("whisper_english", "   ", ""),
    ],
)
def test_normaliser_by_hand(name: NormaliserName, text: str, normalised: str) -> None:
    assert make_normaliser(name).apply(text) == normalised


@pytest.mark.parametrize("name", ["none", "lower", "lower_no_punctuation", "whisper_english"])
def test_normaliser_is_done_after_once(name: NormaliserName) -> None:
    apply = make_normaliser(name).apply
    once = apply("  The Ｑuick “brown”\u00a0fox -- isn’t at 21st street, NO.5 ")
    assert apply(once) == once
    assert once == " ".join(once.split())


def test_signature_names_package_and_normaliser() -> None:
    group = MetricGroup.of(WordErrorRate("whisper_english", n_bootstrap=2), CharacterErrorRate("lower"))
    scores(group, BY_HAND)
    signatures = group.signatures()
    assert signatures["wer"].startswith("jiwer|4.")
    assert "|normaliser:whisper_english|transformers:5." in signatures["wer"]
    assert signatures["wer"].endswith("|spelling:unmapped|bootstrap:2|seed:12345")
    assert signatures["cer"].endswith("|normaliser:lower")


@pytest.mark.parametrize("metric", [WordErrorRate, CharacterErrorRate])
def test_unknown_normaliser_is_refused_at_construction(metric: type[WordErrorRate] | type[CharacterErrorRate]) -> None:
    with pytest.raises(ConfigError, match=r"must be one of none, lower.*did you mean lower"):
        metric(cast(NormaliserName, "lowr"))


def test_imports_stay_light_until_something_is_scored() -> None:
    command = "import sys, core.metrics.speech_report; print({'jiwer', 'transformers', 'rich'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", command], capture_output=True, check=True).stdout == b"set()\n"

from __future__ import annotations

import random
from collections import Counter

import pytest

from core.errors import ConfigError, DataError
from core.language_model.kneser_ney import FALLBACK, adjusted_counts, discounts, estimate
from core.language_model.ngrams import BEGIN, NgramModel
from tests.core.generation.toys import SPECIALS
from tests.core.language_model.toys import random_texts, toy_ngrams, writable

EOS, UNK = SPECIALS.eos, SPECIALS.unk
A, B, C = 4, 5, 6


def chance(model: NgramModel, token: int, *history: int) -> float:
    return float(10 ** model.log_prob(token, history))


def test_a_small_case_by_hand() -> None:
    model = estimate([[A, B], [A, C]], 2, [EOS, UNK, A, B, C], EOS)
    # Too few counts to estimate discounts from: 0.5 off a count of one, 1 off two. Before A stands the beginning alone,
    # before the end B and C: one, one, one and two of five. What is taken off, 0.5 * 3 + 1, is half of it.
    assert chance(model, A) == pytest.approx(0.5 / 5 + 0.1)
    assert chance(model, EOS) == pytest.approx(1 / 5 + 0.1)
    assert chance(model, UNK) == pytest.approx(0.1)
    # Twice a text begins, each time with A; half of that goes to the unigrams.
    assert chance(model, A, BEGIN) == pytest.approx(1 / 2 + 0.5 * 0.2)
    assert chance(model, B, BEGIN) == pytest.approx(0.5 * 0.2)
    assert chance(model, B, A) == pytest.approx(0.5 / 2 + 0.5 * 0.2)
    assert chance(model, EOS, A) == pytest.approx(0.5 * 0.3)
    assert chance(model, EOS, B) == pytest.approx(0.5 + 0.5 * 0.3)
    assert chance(model, A, UNK) == chance(model, A)
    assert model.counts() == [6, 5]  # the beginning is one of the unigrams
    logs = model.log_probs([A, B], EOS)
    assert 10 ** sum(logs) == pytest.approx(0.6 * 0.35 * 0.65)


def test_shorter_ngrams_count_what_stands_before_them() -> None:
    unigrams, bigrams, trigrams = adjusted_counts([[A, B, A, B], [C, A, B], [A, B]], 3, EOS)
    assert unigrams == Counter({(A,): 3, (B,): 1, (C,): 1, (EOS,): 1})  # A after the beginning, B and C
    assert bigrams[A, B] == 3  # after the beginning, B and C, though it occurs four times
    assert bigrams[BEGIN, A] == 2  # as often as it occurs: nothing stands before the beginning
    assert bigrams[B, EOS] == 1
    assert trigrams[A, B, EOS] == 3
    assert (BEGIN,) not in unigrams


def test_discounts_follow_from_counts_of_counts() -> None:
    counts = [1] * 10 + [2] * 4 + [3] * 2 + [4] + [9]
    share = 10 / 18
    expected = (1 - 2 * share * 4 / 10, 2 - 3 * share * 2 / 4, 3 - 4 * share * 1 / 2)
    assert discounts(counts) == pytest.approx(expected)
    assert expected == pytest.approx((0.5556, 1.1667, 1.8889), abs=1e-4)


@pytest.mark.parametrize("counts", [[], [1, 5], [1, 2, 4], [1, 2] + [3] * 50])
def test_discounts_that_counts_cannot_tell_are_fixed(counts: list[int]) -> None:
    assert discounts(counts) == FALLBACK  # the last: 2 - 3 * 1/3 * 50 is below zero


@pytest.mark.parametrize("order", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_probabilities_sum_to_one_after_every_history(order: int, seed: int) -> None:
    types, rng = 9, random.Random(seed)
    model = toy_ngrams(types, order, seed)
    unseen = [tuple(rng.choices([BEGIN, *writable(types)], k=rng.randint(0, order + 1))) for _ in range(50)]
    assert model.order == order
    assert set(model.contexts) | set(unseen)
    for history in [*model.contexts, *unseen]:
        chances = [chance(model, token, *history) for token in writable(types)]
        assert min(chances) > 0
        assert sum(chances) == pytest.approx(1, abs=1e-12)


def test_what_was_seen_is_likelier_with_more_context() -> None:
    texts = random_texts(9)
    totals = [sum(sum(toy_ngrams(9, order).log_probs(text, EOS)) for text in texts) for order in (1, 2, 3, 4)]
    assert totals == sorted(totals)


def test_the_order_is_that_of_the_longest_text_at_most() -> None:
    model = estimate([[A], [A, B]], 9, [EOS, UNK, A, B], EOS)
    assert model.order == 4  # the beginning, two tokens, the end
    assert sum(chance(model, token, BEGIN, A) for token in (EOS, UNK, A, B)) == pytest.approx(1)


@pytest.mark.parametrize("order", [0, 13])
def test_an_order_out_of_range_is_refused(order: int) -> None:
    with pytest.raises(ConfigError, match=f"at least 1 and at most 12, got {order}"):
        estimate([[A]], order, [EOS, A], EOS)


def test_no_text_is_refused() -> None:
    with pytest.raises(DataError, match="there is none"):
        estimate([], 3, [EOS, A], EOS)

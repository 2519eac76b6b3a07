from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from core.generation import Constraints, GenerationOptions, generate
from core.generation.options import LengthPenalty
from core.generation.strategies.constrained import Progress
from tests.core.generation.toys import SPECIALS, alone, assert_same, exhaustive, table_model, toy_model, toy_source

Phrase = tuple[int, ...]
WIDE = GenerationOptions(beam_size=200, n_best=5, max_length=3)


def contains(tokens: Phrase, phrase: Phrase) -> bool:
    return any(tokens[start : start + len(phrase)] == phrase for start in range(len(tokens) - len(phrase) + 1))


@pytest.mark.parametrize("phrases", [((4,),), ((4, 5),), ((3, 4), (6,)), ((4, 4), (4,)), ((3, 4), (4,)), ((5, 5, 5),)])
@pytest.mark.parametrize("penalty", ["none", "average", "gnmt"])
def test_required_phrases_exhaustively(phrases: tuple[Phrase, ...], penalty: LengthPenalty) -> None:
    source, options = toy_source(2), replace(WIDE, length_penalty=penalty)
    for seed in range(2):
        model = toy_model(seed=seed)
        ours = generate(model, source, options, SPECIALS, Constraints(required=(phrases,)))
        for index in range(2):
            expected = exhaustive(
                model, alone(source, index), options, lambda tokens: all(contains(tokens, p) for p in phrases)
            )
            assert_same([h for h in ours[index] if h.finished], expected[:5])


@pytest.mark.parametrize("beam", [2, 4, 10])
def test_required_phrases_are_met_by_narrow_beams(beam: int) -> None:
    model, source = toy_model(vocab_size=60, scale=1.0), toy_source(8)
    required = tuple(((10 + index, 11, 12), (20,))[: index % 3] for index in range(8))
    constraints = Constraints(required=required)
    options = GenerationOptions(beam_size=beam, n_best=2, max_length=15)
    together = generate(model, source, options, SPECIALS, constraints)
    for index, best in enumerate(together):
        assert best[0].finished or not required[index]
        assert all(contains(best[0].tokens, phrase) for phrase in required[index])
        single = generate(model, alone(source, index), options, SPECIALS, Constraints(required=(required[index],)))
        assert_same(best, single[0])


def test_constrained_search_stops_early_and_changes_nothing() -> None:
    source, constraints = toy_source(4), Constraints(required=(((4, 5),),))
    for seed in range(10):
        model = toy_model(vocab_size=9, seed=seed)
        options = GenerationOptions(beam_size=5, max_length=8, length_penalty="gnmt", alpha=0.6)
        stopped = generate(model, source, options, SPECIALS, constraints)
        run_on = generate(model, source, replace(options, early_stopping=False), SPECIALS, constraints)
        for ours, theirs in zip(stopped, run_on, strict=True):
            assert_same(ours, theirs)


def test_progress_follows_overlapping_phrases() -> None:
    progress = Progress(((4, 4, 5), (5, 6)))
    banks = []
    for token in (4, 4, 4, 5, 6):
        progress = progress.after(token)
        banks.append(progress.bank)
    assert banks == [1, 2, 2, 4, 5]  # 4 | 44 | 44 again | 445 met, and 5 of 56 | all
    assert progress.done
    assert Progress(((4, 4, 5),)).after(4).after(4).next_tokens() == {4, 5}


@pytest.mark.parametrize("beam", [1, 3])
def test_prefixes_come_first_and_hold_against_other_rules(beam: int) -> None:
    model, source = toy_model(vocab_size=20), toy_source(3)
    prefixes = ((4, 4, 4), (), (5,))
    options = GenerationOptions(beam_size=beam, max_length=8, no_repeat_ngram=1, min_length=4)
    constraints = Constraints(prefixes=prefixes, forbidden=((5,),))
    best = [b[0] for b in generate(model, source, options, SPECIALS, constraints)]
    for prefix, hypothesis in zip(prefixes, best, strict=True):
        assert hypothesis.tokens[: len(prefix)] == prefix
        rest = hypothesis.tokens[len(prefix) :]
        assert len(hypothesis.tokens) >= 4
        assert len(set(rest)) == len(rest)
        assert 5 not in rest
        assert not set(rest) & set(prefix)


def test_a_prefix_exhaustively() -> None:
    model, source = toy_model(), toy_source(2)
    ours = generate(model, source, WIDE, SPECIALS, Constraints(prefixes=((5, 3),)))
    for index in range(2):
        expected = exhaustive(model, alone(source, index), WIDE, lambda tokens: tokens[:2] == (5, 3))
        assert_same([h for h in ours[index] if h.finished], expected[:5])


def test_forbidden_phrases_exhaustively() -> None:
    model, source = toy_model(), toy_source(2)
    forbidden = ((6,), (4, 5), (3, 3, 3))
    ours = generate(model, source, WIDE, SPECIALS, Constraints(forbidden=forbidden))
    for index in range(2):
        expected = exhaustive(
            model, alone(source, index), WIDE, lambda tokens: not any(contains(tokens, p) for p in forbidden)
        )
        assert_same(ours[index], expected[:5])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_repeated_ngrams_exhaustively(size: int) -> None:
    model, source = toy_model(vocab_size=6), toy_source(2)
    options = GenerationOptions(beam_size=1000, n_best=5, max_length=5, no_repeat_ngram=size)

    def fresh(tokens: Phrase) -> bool:
        ngrams = [tokens[start : start + size] for start in range(len(tokens) - size + 1)]
        return len(set(ngrams)) == len(ngrams)

    ours = generate(model, source, options, SPECIALS)
    for index in range(2):
        assert_same(ours[index], exhaustive(model, alone(source, index), options, fresh)[:5])


def test_rules_follow_the_rows_of_a_beam() -> None:
    model, source = toy_model(vocab_size=40, scale=0.6), toy_source(12)
    options = GenerationOptions(beam_size=4, n_best=4, max_length=25, min_length=10, no_repeat_ngram=2)
    for best in generate(model, source, options, SPECIALS):
        for hypothesis in best:
            pairs = list(zip(hypothesis.tokens, hypothesis.tokens[1:], strict=False))
            assert len(set(pairs)) == len(pairs)
            assert len(hypothesis.tokens) >= 10
    unruled = generate(model, source, replace(options, no_repeat_ngram=0), SPECIALS)
    assert any(len(set(zip(h.tokens, h.tokens[1:], strict=False))) < len(h.tokens) - 1 for b in unruled for h in b)


def test_log_probabilities_are_the_models_own_under_rules() -> None:
    chances = torch.tensor([0.1, 0.1, 0.1, 0.5, 0.2]).log().tolist()
    options = GenerationOptions(max_length=3, min_length=1)
    (best,) = generate(table_model([chances] * 5), toy_source(1), options, SPECIALS, Constraints(forbidden=((3,),)))[0]
    assert best.tokens == (4, 4, 4)
    assert best.log_prob == pytest.approx(3 * torch.tensor(0.2).log().item())

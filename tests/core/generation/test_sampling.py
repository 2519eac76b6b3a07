from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from core.batch import TextBatch
from core.generation import GenerationOptions, generate
from core.generation.randomness import content_keys, seeds_of, uniform
from tests.core.generation.toys import SPECIALS, alone, assert_same, log_prob, table_model, toy_model, toy_source

DRAW = GenerationOptions(sample=True, max_length=10)


def test_splitmix64_is_the_published_generator() -> None:
    # the reference implementation (Vigna, splitmix64.c) in Python's integers
    mask, state = (1 << 64) - 1, 1234567
    for step in range(5):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        z ^= z >> 31
        assert uniform(torch.tensor([1234567]), step).item() == (z >> 41) / 2**23


def test_draws_are_uniform_and_independent() -> None:
    seeds = seeds_of(0, list(range(100)), 10)
    draws = torch.stack([uniform(seeds, step) for step in range(100)])  # (100, 1000)
    assert len(set(seeds.tolist())) == 1000
    counts = torch.histc(draws, bins=20, min=0, max=1)
    assert ((counts - 5000).abs() < 5 * 5000**0.5).all()
    correlations = torch.corrcoef(draws) - torch.eye(100)
    assert correlations.abs().max() < 6 / 1000**0.5


def test_keys_depend_on_the_content_alone() -> None:
    source = TextBatch(torch.tensor([[5, 6, 7, 0], [5, 6, 7, 9], [5, 6, 0, 0]]), torch.tensor([3, 3, 2]))
    first, second, third = content_keys(source)
    assert first == second != third
    assert content_keys(alone(source, 2)) == [third]


@pytest.mark.parametrize("options", [DRAW, replace(DRAW, n_best=3, top_k=5), replace(DRAW, top_p=0.8, temperature=1.5)])
def test_the_same_seed_gives_the_same_text_in_any_batch(options: GenerationOptions) -> None:
    model, source = toy_model(vocab_size=30, scale=1.0), toy_source(20)
    together = generate(model, source, options, SPECIALS)
    for index in range(20):
        assert_same(generate(model, alone(source, index), options, SPECIALS)[0], together[index])
    other = generate(model, source, replace(options, seed=1), SPECIALS)
    assert sum(a[0].tokens != b[0].tokens for a, b in zip(together, other, strict=True)) > 10


def test_keys_tell_equal_sources_apart() -> None:
    model = toy_model(vocab_size=30, scale=0.5)
    source = toy_source(1).select(torch.zeros(5, dtype=torch.int64))
    assert len({best[0].tokens for best in generate(model, source, DRAW, SPECIALS)}) == 1
    assert len({best[0].tokens for best in generate(model, source, DRAW, SPECIALS, keys=range(5))}) > 1


def test_samples_have_the_models_distribution() -> None:
    chances = [0.0, 0.0, 0.4, 0.3, 0.2, 0.1]
    model = table_model([[torch.tensor(p).log().item() for p in chances]] * 6)
    options = GenerationOptions(sample=True, n_best=20000, max_length=1)
    drawn = Counter(h.tokens for h in generate(model, toy_source(1), options, SPECIALS)[0])
    for tokens, chance in {(): 0.4, (3,): 0.3, (4,): 0.2, (5,): 0.1}.items():
        assert drawn[tokens] / 20000 == pytest.approx(chance, abs=5 * (chance * (1 - chance) / 20000) ** 0.5)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"top_k": 2}, {3: 0.6, 4: 0.4}),
        ({"top_p": 0.5}, {3: 0.6, 4: 0.4}),  # 0.42 is too little, 0.7 is enough
        ({"top_p": 0.42 - 1e-3}, {3: 1.0}),
        ({"top_p": 0.75}, {3: 42 / 90, 4: 28 / 90, 5: 20 / 90}),
        ({"temperature": 0.5}, {3: 0.42**2, 4: 0.28**2, 5: 0.2**2, 6: 0.1**2}),
        ({"top_k": 2, "top_p": 0.55}, {3: 1.0}),  # the nucleus of the k best: 0.6 of their mass
    ],
)
def test_the_head_of_the_distribution(change: dict[str, float], expected: dict[int, float]) -> None:
    chances = [1e-12, 1e-12, 1e-12, 0.42, 0.28, 0.2, 0.1]
    model = table_model([torch.tensor(chances).log().tolist()] * 7)
    options = replace(GenerationOptions(sample=True, n_best=20000, max_length=1, min_length=1), **change)  # type: ignore[arg-type]
    drawn = Counter(h.tokens[0] for h in generate(model, toy_source(1), options, SPECIALS)[0])
    total = sum(expected.values())
    assert set(drawn) == set(expected)
    for token, share in expected.items():
        chance = share / total
        assert drawn[token] / 20000 == pytest.approx(chance, abs=5 * (chance * (1 - chance) / 20000) ** 0.5 + 1e-9)


@pytest.mark.parametrize("change", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
def test_the_narrowest_draw_is_greedy(change: dict[str, float]) -> None:
    model, source = toy_model(vocab_size=20), toy_source(10)
    drawn = generate(model, source, replace(DRAW, **change), SPECIALS)  # type: ignore[arg-type]
    greedy = generate(model, source, GenerationOptions(max_length=10), SPECIALS)
    for a, b in zip(drawn, greedy, strict=True):
        assert_same(a, b)


def test_samples_are_scored_by_the_model_and_sorted() -> None:
    model, source = toy_model(vocab_size=12, scale=0.7), toy_source(3)
    options = replace(DRAW, n_best=8, temperature=2.0, top_k=6)
    for index, best in enumerate(generate(model, source, options, SPECIALS)):
        assert len(best) == 8
        for hypothesis in best:
            expected = log_prob(model, alone(source, index), hypothesis.tokens, hypothesis.finished)
            assert hypothesis.log_prob == pytest.approx(expected, abs=1e-4)
        assert all((a.finished, a.score) >= (b.finished, b.score) for a, b in pairwise(best))


def test_never_a_token_without_probability() -> None:
    row = [float("-inf")] * 50
    row[7], row[2] = 0.0, -1.0
    options = GenerationOptions(sample=True, n_best=500, max_length=3)
    for hypothesis in generate(table_model([row] * 50), toy_source(1), options, SPECIALS)[0]:
        assert set(hypothesis.tokens) <= {7}

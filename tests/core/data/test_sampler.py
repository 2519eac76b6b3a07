from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.data.sampler import BucketBatchSampler, Budget, cut, split_runs
from core.errors import ConfigError

lengths = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=80)


def sampler(
    pairs: list[tuple[int, int]],
    max_tokens: int = 100,
    *,
    budget: Budget = "longest",
    shuffle: bool = True,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
    max_examples: int | None = None,
) -> BucketBatchSampler:
    source, target = zip(*pairs, strict=True)
    return BucketBatchSampler(
        source,
        target,
        max_tokens,
        budget=budget,
        shuffle=shuffle,
        seed=seed,
        rank=rank,
        world_size=world_size,
        max_examples=max_examples,
    )


def many(count: int = 500) -> list[tuple[int, int]]:
    random = np.random.default_rng(0)
    source: NDArray[np.int64] = random.integers(3, 30, count)
    target = np.maximum(1, source + random.integers(-3, 4, count))
    return list(zip(source.tolist(), target.tolist(), strict=True))


def test_runs_are_cut_at_the_budget() -> None:
    # 3 * 2 = 6 fits, a fourth would make 8; 2 * 3 = 6 fits; 9 alone is over the budget, and stands alone.
    assert cut(np.array([1, 2, 2, 2, 3, 9]), 6) == [0, 3, 5, 6]
    assert cut(np.array([1, 1, 1, 1, 1]), 100, max_examples=2) == [0, 2, 4, 5]
    assert cut(np.array([], dtype=np.int64), 6) == [0]


def test_the_largest_runs_are_halved() -> None:
    assert split_runs([0, 3, 10, 12], 2) == [0, 3, 6, 10, 12]
    assert split_runs([0, 1, 2, 3], 2) == [0, 1, 2, 3]  # nothing to halve


@settings(max_examples=60, deadline=None)
@given(pairs=lengths, world_size=st.integers(1, 4), epoch=st.integers(0, 3), shuffle=st.booleans())
def test_ranks_share_all_examples_out(pairs: list[tuple[int, int]], world_size: int, epoch: int, shuffle: bool) -> None:
    ranks = [sampler(pairs, shuffle=shuffle, rank=rank, world_size=world_size) for rank in range(world_size)]
    plans = [each.plan(epoch) for each in ranks]
    assert len({len(plan) for plan in plans}) == 1
    assert all(len(each) == len(plan) for each, plan in zip(ranks, plans, strict=True))
    seen = list(chain.from_iterable(chain.from_iterable(plans)))
    assert set(seen) == set(range(len(pairs)))
    if len(pairs) >= world_size:
        assert len(seen) == len(pairs)  # no duplicates
    assert all(batch for plan in plans for batch in plan)


@settings(max_examples=60, deadline=None)
@given(pairs=lengths, budget=st.sampled_from(["longest", "target"]), epoch=st.integers(0, 3))
def test_the_budget_counts_padding(pairs: list[tuple[int, int]], budget: Budget, epoch: int) -> None:
    for batch in sampler(pairs, 90, budget=budget).plan(epoch):
        counted = [pairs[index][1] if budget == "target" else max(pairs[index]) for index in batch]
        assert len(batch) == 1 or len(batch) * max(counted) <= 90


def test_a_plan_depends_on_seed_and_epoch_alone() -> None:
    first, second = sampler(many()), sampler(many())
    second.set_epoch(7)
    list(second)
    assert first.plan(1) == second.plan(1)
    assert first.plan(1) != first.plan(2)
    assert first.plan(1) != sampler(many(), seed=1).plan(1)


def test_epochs_mix_their_batches_anew_but_have_equally_many() -> None:
    one = sampler(many(2000), 400)
    together = [{frozenset(batch) for batch in one.plan(epoch)} for epoch in range(3)]
    assert len({len(one.plan(epoch)) for epoch in range(20)}) == 1
    assert len(together[0] & together[1]) < len(together[0]) / 10


def test_ranks_work_on_similar_lengths_at_the_same_step() -> None:
    pairs = many(4000)
    ranks = [sampler(pairs, 300, rank=rank, world_size=2) for rank in range(2)]
    longest = [[max(max(pairs[i]) for i in batch) for batch in each.plan(0)] for each in ranks]
    assert all(abs(first - second) <= 1 for first, second in zip(*longest, strict=True))


def test_evaluation_goes_from_long_to_short_and_is_always_alike() -> None:
    pairs = many()
    one = sampler(pairs, shuffle=False)
    longest = [max(max(pairs[index]) for index in batch) for batch in one]
    assert longest == sorted(longest, reverse=True)
    assert one.plan(0) == one.plan(5)


def test_fewer_examples_than_ranks_repeat_one() -> None:
    plans = [sampler([(3, 3)], rank=rank, world_size=3, shuffle=False).plan(0) for rank in range(3)]
    assert plans == [[[0]], [[0]], [[0]]]


def test_padding_is_counted_on_both_sides() -> None:
    # One batch of two: 2 * 4 source and 2 * 5 target positions, of which 4 + 2 + 5 + 1 hold tokens.
    assert sampler([(4, 5), (2, 1)]).padding_waste() == pytest.approx(1 - 12 / 18)
    assert sampler([(4, 5), (4, 5)]).padding_waste() == 0


def test_sorting_wastes_less_than_half_of_what_shuffling_does() -> None:
    pairs = many(3000)
    shuffled = [list(range(begin, begin + 20)) for begin in range(0, 3000, 20)]
    table = np.array(pairs)
    padded = sum(20 * int(table[batch].max(axis=0).sum()) for batch in shuffled)
    assert sampler(pairs, 600).padding_waste(3) < (1 - int(table.sum()) / padded) / 2


def test_starting_later_leaves_the_first_batches_out_once() -> None:
    one = sampler(many())
    whole = list(one)
    one.start_at(3)
    assert list(one) == whole[3:]
    assert len(one) == len(whole)
    one.set_epoch(0)
    assert list(one) == whole


def test_lightning_finds_the_epochs_setter() -> None:
    one = sampler(many())
    assert one.sampler is one


def test_the_fingerprint_changes_with_the_plan() -> None:
    pairs = many()
    one = sampler(pairs)
    others = [sampler(pairs, 120), sampler(pairs, seed=1), sampler(pairs[::-1]), sampler(pairs, world_size=2)]
    assert one.fingerprint == sampler(pairs).fingerprint
    assert one.fingerprint not in {other.fingerprint for other in others}
    ranks = {sampler(pairs, rank=rank, world_size=2).fingerprint for rank in range(2)}
    assert len(ranks) == 1


def test_bad_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be at least 1, got 0"):
        sampler(many(), 0)
    with pytest.raises(ConfigError, match=r"rank must be in \[0, 2\), got 2"):
        sampler(many(), rank=2, world_size=2)

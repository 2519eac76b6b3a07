"""Plans and batches of examples of any lengths."""

from __future__ import annotations

from collections import Counter

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.batch import TextBatch
from core.data.collate import Example, collate, pad_tokens
from core.data.sampler import BucketBatchSampler

FUZZ = settings(max_examples=80, deadline=None, derandomize=True)
lengths = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), min_size=1, max_size=50)


def sampler(pairs: list[tuple[int, int]], budget: int, rank: int, ranks: int) -> BucketBatchSampler:
    sources, targets = zip(*pairs, strict=True)
    return BucketBatchSampler(sources, targets, budget, rank=rank, world_size=ranks, seed=3)


@FUZZ
@given(lengths, st.integers(1, 200), st.integers(1, 4), st.integers(0, 3))
def test_each_example_comes_once_and_ranks_have_equally_many_batches(
    pairs: list[tuple[int, int]], budget: int, ranks: int, epoch: int
) -> None:
    plans = [sampler(pairs, budget, rank, ranks).plan(epoch) for rank in range(ranks)]
    assert len({len(plan) for plan in plans}) == 1
    assert all(len(plan) == len(sampler(pairs, budget, 0, ranks)) for plan in plans)
    counts = Counter(index for plan in plans for batch in plan for index in batch)
    assert set(counts) == set(range(len(pairs)))
    if len(pairs) >= ranks:
        assert set(counts.values()) == {1}
    for plan in plans:
        for batch in plan:
            longest = max(max(pairs[index]) for index in batch)
            assert len(batch) == 1 or len(batch) * longest <= budget


@FUZZ
@given(lengths, st.integers(1, 200), st.integers(1, 3), st.data())
def test_a_plan_that_is_begun_in_the_middle_is_the_rest_of_it(
    pairs: list[tuple[int, int]], budget: int, ranks: int, data: st.DataObject
) -> None:
    whole, begun = sampler(pairs, budget, 0, ranks), sampler(pairs, budget, 0, ranks)
    epoch, position = data.draw(st.integers(0, 3)), data.draw(st.integers(0, len(whole)))
    begun.set_epoch(epoch)
    begun.start_at(position)
    assert list(begun) == whole.plan(epoch)[position:]
    assert begun.fingerprint == whole.fingerprint


rows = st.lists(st.lists(st.integers(4, 99), min_size=1, max_size=9), min_size=1, max_size=6)


@FUZZ
@given(rows, st.data())
def test_a_batch_holds_its_examples_and_nothing_else(sources: list[list[int]], data: st.DataObject) -> None:
    targets = [data.draw(st.lists(st.integers(4, 99), min_size=1, max_size=9)) for _ in sources]
    examples = [
        Example(number, torch.tensor(source), torch.tensor(target), str(source), (str(target),))
        for number, (source, target) in enumerate(zip(sources, targets, strict=True))
    ]
    batch = collate(examples, lambda tensors: pad_tokens(tensors, 0), pad=1)
    assert batch.target is not None
    for side, texts, pad in ((batch.source, sources, 0), (batch.target, targets, 1)):
        assert isinstance(side, TextBatch)
        assert side.values.shape == (len(texts), max(map(len, texts)))
        for row, length, text in zip(side.values.tolist(), side.lengths.tolist(), texts, strict=True):
            assert row[:length] == text
            assert row[length:] == [pad] * (len(row) - length)
    assert batch.ids == tuple(range(len(sources)))

from __future__ import annotations

import pytest

from benchmarks.shapes import Shape
from benchmarks.weak_scaling import Measured, Rank, Work, draw, operations, row, run
from core.objectives import required_target

SHAPE = Shape(vocab_size=30, d_model=8, num_layers=1, num_heads=2, ffn_size=16)
WORK = Work(SHAPE, "fp32", batch_size=4, length=8, updates=2, threads=1)


def test_operations_are_at_least_those_of_the_matrices() -> None:
    flops, tokens = operations(WORK)
    batches = draw(WORK, seed=0)
    targets = [int(required_target(batch).lengths.sum()) for batch in batches]
    assert tokens == sum(targets) // 2
    assert flops > 6 * 30 * 8 * tokens  # the head alone: forward, and backward to both of its factors


def test_a_row_is_of_medians_and_of_one_rank() -> None:
    two = [Measured(tokens, 0.5, 0.4, 0.05, 100) for tokens in (10.0, 18.0, 30.0)]
    assert row(2, two, one=10.0) == (2, 18.0, pytest.approx(90.0), pytest.approx(20.0), 500.0, 50.0)
    assert row(1, [Measured(10.0, 0.5, 0.6, 0.0, 0)], one=10.0)[2:4] == (100.0, 0.0)


def test_one_rank_reduces_nothing() -> None:
    measured = Rank(0, 1, WORK).measure()
    assert measured.tokens > 0
    assert (measured.reduced, measured.reducing) == (0, 0.0)


def test_two_ranks_reduce_each_parameters_gradient() -> None:
    measured = run(2, WORK)
    assert measured.reduced == 4 * sum(parameter.numel() for parameter in SHAPE.build().parameters())
    assert measured.reducing > 0

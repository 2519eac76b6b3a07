"""Attention of recurrent decoders, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from core.encoders.base import Memory
from core.layers.alignment import AdditiveAlignment, Alignment, DotAlignment, GeneralAlignment
from tests.contracts.encoder import assert_close

# Two sources: the second has one state of its own, and padding that isn't zero.
MEMORY = Memory(torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[3.0, 1.0], [9.0, 9.0]]]), torch.tensor([2, 1]))
QUERIES = torch.tensor([[[1.0, 1.0]], [[-1.0, 2.0]]])


def shares(first: float, second: float) -> list[float]:
    """The softmax of two numbers."""
    return [1 / (1 + math.exp(second - first)), 1 / (1 + math.exp(first - second))]


def filled(alignment: Alignment, **weights: list[list[float]]) -> Alignment:
    for name, value in weights.items():
        alignment.get_submodule(name).weight = torch.nn.Parameter(torch.tensor(value))
    return alignment


@pytest.mark.parametrize(
    ("alignment", "expected"),
    [
        (DotAlignment(2, 2), shares(1.0, 2.0)),
        # W m: (1, 0) to (2, 0), and (0, 2) to (-2, 0)
        (filled(GeneralAlignment(2, 2), memory=[[2.0, -1.0], [0.0, 0.0]]), shares(2.0, -2.0)),
        # W h is (1, -1), and v sums: tanh(1 + 1) + tanh(-1 + 0), then tanh(1 + 0) + tanh(-1 + 2)
        (
            filled(
                AdditiveAlignment(2, 2),
                query=[[1.0, 0.0], [0.0, -1.0]],
                memory=[[1.0, 0.0], [0.0, 1.0]],
                energy=[[1.0, 1.0]],
            ),
            shares(math.tanh(2) - math.tanh(1), 2 * math.tanh(1)),
        ),
    ],
)
@torch.no_grad()
def test_weights_and_contexts_by_hand(alignment: Alignment, expected: list[float]) -> None:
    found = alignment(QUERIES, alignment.prepare(MEMORY))
    assert_close(found.weights, torch.tensor([[expected], [[1.0, 0.0]]]))
    assert_close(found.context, torch.tensor([[[expected[0], 2 * expected[1]]], [[3.0, 1.0]]]))


@pytest.mark.parametrize("alignment", [DotAlignment(2, 2), GeneralAlignment(2, 2), AdditiveAlignment(2, 2)])
@torch.no_grad()
def test_a_source_of_no_length_gives_a_context_of_zero(alignment: Alignment) -> None:
    nothing = Memory(torch.ones(1, 2, 2), torch.tensor([0]))
    assert alignment(QUERIES[:1], alignment.prepare(nothing)).context.tolist() == [[[0.0, 0.0]]]


@torch.no_grad()
def test_several_queries_a_source_equal_one_at_a_time() -> None:
    alignment = AdditiveAlignment(3, 2)
    queries: Tensor = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    memory = alignment.prepare(MEMORY)
    together = alignment(queries, memory)
    for index in range(4):
        alone = alignment(queries[:, index : index + 1], memory)
        assert_close(together.context[:, index : index + 1], alone.context)
        assert_close(together.weights[:, index : index + 1], alone.weights)

"""Attention with features of its earlier weights, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from core.encoders.base import Memory
from core.errors import ConfigError
from core.layers.location import LocationAlignment, LocationOptions, windows
from tests.contracts.decoder import random_memory
from tests.contracts.encoder import assert_close

BEFORE, HERE, AFTER = 0.5, -1.0, 2.0


def place_only(options: LocationOptions) -> LocationAlignment:
    """An alignment of width 1 whose scores are tanh of one filter of the earlier weights: the content is ignored."""
    alignment = LocationAlignment(1, 1, options)
    with torch.no_grad():
        for parameter in alignment.parameters():
            parameter.zero_()
        alignment.filters.weight.copy_(torch.tensor([[BEFORE, HERE, AFTER]]))
        alignment.place.weight.fill_(1.0)
        alignment.energy.weight.fill_(1.0)
    return alignment


def scores(past: list[float]) -> list[float]:
    """What `place_only` gives three states with those earlier weights."""
    first, second, third = past
    features = (
        HERE * first + AFTER * second,
        BEFORE * first + HERE * second + AFTER * third,
        BEFORE * second + HERE * third,
    )
    return [math.tanh(feature) for feature in features]


def shares(values: list[float]) -> list[float]:
    return [value / sum(values) for value in values]


def soft(past: list[float]) -> list[float]:
    return shares([math.exp(score) for score in scores(past)])


def looks(options: LocationOptions) -> list[list[float]]:
    """The weights of two steps on a source of three states."""
    alignment = place_only(options)
    memory = alignment.prepare(Memory(torch.ones(1, 5, 1), torch.tensor([3])))  # two states are padding
    with torch.no_grad():
        weights: Tensor = alignment.follow(torch.zeros(1, 2, 1), memory).weights
    assert not weights[:, :, 3:].any()
    return weights[0, :, :3].tolist()


START = [1.0, 0.0, 0.0]


def test_two_steps_by_hand() -> None:
    first = soft(START)
    assert_close(torch.tensor(looks(LocationOptions(1, 3))), torch.tensor([first, soft(first)]))


def test_two_steps_on_the_sum_of_all_weights() -> None:
    first = soft(START)
    seen = [start + weight for start, weight in zip(START, first, strict=True)]
    assert_close(torch.tensor(looks(LocationOptions(1, 3, cumulative=True))), torch.tensor([first, soft(seen)]))


def test_sharpened_and_smoothed_weights() -> None:
    sharp = shares([math.exp(3 * score) for score in scores(START)])
    assert_close(torch.tensor(looks(LocationOptions(1, 3, sharpening=3.0))[0]), torch.tensor(sharp))
    smooth = shares([1 / (1 + math.exp(-score)) for score in scores(START)])
    assert_close(torch.tensor(looks(LocationOptions(1, 3, smoothing=True))[0]), torch.tensor(smooth))


@torch.no_grad()
def test_scores_follow_the_papers_equations() -> None:
    torch.manual_seed(0)
    alignment = LocationAlignment(4, 6, LocationOptions(filters=3, width=7))
    memory, queries = random_memory([5], 6), torch.randn(1, 3, 4)
    past, expected = torch.eye(5)[0], []
    for query in queries[0]:
        features = F.conv1d(past.view(1, 1, 5), alignment.filters.weight.unsqueeze(1), padding=3)[0].T  # (5, 3)
        inner = alignment.query.weight @ query + memory.states[0] @ alignment.memory.weight.T
        energies = torch.tanh(inner + features @ alignment.place.weight.T + alignment.place.bias)
        past = (energies @ alignment.energy.weight[0]).softmax(0)
        expected.append(past)
    found = alignment.follow(queries, alignment.prepare(memory))
    assert_close(found.weights[0], torch.stack(expected))
    assert_close(found.context[0], torch.stack(expected) @ memory.states[0])


def test_content_alone_cannot_tell_equal_states_apart_but_place_can() -> None:
    """All states are the same, as in silence: a filter that looks back moves on by one state a step."""
    alignment = place_only(LocationOptions(1, 3, sharpening=50.0))
    with torch.no_grad():
        alignment.filters.weight.copy_(torch.tensor([[1.0, 0.0, 0.0]]))
        memory = alignment.prepare(Memory(torch.ones(1, 5, 1), torch.tensor([5])))
        assert alignment.follow(torch.zeros(1, 4, 1), memory).weights.argmax(-1).tolist() == [[1, 2, 3, 4]]


def test_windows() -> None:
    assert windows(torch.tensor([1.0, 2.0]), 3).tolist() == [[0.0, 1.0, 2.0], [1.0, 2.0, 0.0]]
    assert windows(torch.zeros(2, 0), 5).shape == (2, 0, 5)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"width": 4}, "width.*odd.*4"), ({"filters": 0}, "filters.*0"), ({"sharpening": 0.0}, r"sharpening.*0\.0")],
)
def test_options_that_cannot_work_are_refused_by_name(options: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        LocationOptions(**options)  # type: ignore[arg-type]

"""Bridges: which of the encoder's last states a decoder's layer starts from."""

from __future__ import annotations

import torch

from core.encoders.base import Memory
from core.layers.bridge import Bridge
from tests.contracts.encoder import assert_close


def memory(num_layers: int, parts: int) -> Memory:
    """Two sources of width 2: in part p and layer l all is 10 p + l + 1, in hundredths; and one of no length."""
    values = 10.0 * torch.arange(parts).view(-1, 1, 1, 1) + torch.arange(num_layers).view(1, -1, 1, 1) + 1
    final = tuple((values / 100).expand(-1, -1, 2, 2))
    return Memory(torch.tensor([[[1.0, 2.0], [3.0, 6.0]], [[7.0, 7.0], [7.0, 7.0]]]), torch.tensor([2, 0]), final)


def starts(bridge: Bridge, given: Memory) -> list[list[float]]:
    """What each layer starts from, part by part, with projections that are the identity."""
    with torch.no_grad():
        for projection in bridge.project:
            projection.weight.copy_(torch.eye(2))  # type: ignore[operator]
            projection.bias.zero_()  # type: ignore[operator]
        hidden = bridge(given)
    return [[round(float(part[0, 0]), 4) for part in state] for state in hidden]


def test_a_copy_is_layer_by_layer() -> None:
    assert starts(Bridge("copy", "lstm", 2, 2, 2), memory(2, 2)) == [[0.01, 0.11], [0.02, 0.12]]


def test_a_projection_aligns_the_tops() -> None:
    squashed = [round(float(torch.tanh(torch.tensor(value / 100))), 4) for value in (1, 2, 3)]
    assert starts(Bridge("project", "gru", 2, 2, 2), memory(3, 1)) == [[squashed[1]], [squashed[2]]]
    assert starts(Bridge("project", "gru", 2, 2, 3), memory(2, 1)) == [[squashed[0]], [squashed[0]], [squashed[1]]]


def test_cell_states_are_projected_but_not_squashed() -> None:
    assert starts(Bridge("project", "lstm", 2, 2, 1), memory(1, 2))[0][1] == 0.11


def test_without_last_states_it_is_the_mean_of_the_memory() -> None:
    states = memory(1, 0)
    bridge = Bridge("project", "gru", 2, 2, 2)
    starts(bridge, states)
    with torch.no_grad():
        for (hidden,) in bridge(states):
            assert_close(hidden, torch.tensor([[2.0, 4.0], [0.0, 0.0]]).tanh())

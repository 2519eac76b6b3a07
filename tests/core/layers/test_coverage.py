from __future__ import annotations

import torch

from core.encoders.base import Memory
from core.layers.coverage import CoverageAlignment, coverage_loss


def test_attention_that_comes_back_costs() -> None:
    """Steps look at (.5, .5), (1, 0), (.25, .75): what they share with the sums before them is 0, .5 and .25 + .5."""
    weights = torch.tensor([[[0.5, 0.5, 7.0], [1.0, 0.0, 7.0], [0.25, 0.75, 7.0]]])
    is_source = torch.tensor([[True, True, False]])
    assert coverage_loss(weights, torch.ones(1, 3, dtype=torch.bool), is_source).item() == 1.25
    assert coverage_loss(weights, torch.tensor([[True, True, False]]), is_source).item() == 0.5


def test_scores_know_the_sum_of_earlier_weights() -> None:
    """With v, w and W, U, b so that a score is 10 tanh(-c): whoever was looked at is avoided."""
    alignment = CoverageAlignment(1, 1)
    for name, parameter in alignment.named_parameters():
        parameter.data.fill_({"energy.weight": 10.0, "cover.weight": -1.0}.get(name, 0.0))
    memory = alignment.prepare(Memory(torch.ones(1, 3, 1), torch.tensor([2])))
    found = alignment.follow(torch.zeros(1, 3, 1), memory)
    assert found.weights[0, 0].tolist() == [0.5, 0.5, 0.0]
    past = torch.tensor([[[1.0, 0.0, 0.0]]])
    seen = alignment(torch.zeros(1, 1, 1), memory, past)
    odds = float(torch.exp(10 * torch.tanh(torch.tensor(-1.0))))  # of the first against the second
    torch.testing.assert_close(seen.weights, torch.tensor([[[odds / (1 + odds), 1 / (1 + odds), 0.0]]]))
    assert seen.past is not None
    torch.testing.assert_close(seen.past, past + seen.weights)


def test_steps_equal_a_whole_pass() -> None:
    torch.manual_seed(0)
    alignment = CoverageAlignment(4, 3)
    memory = alignment.prepare(Memory(torch.randn(2, 5, 3), torch.tensor([5, 2])))
    queries = torch.randn(2, 6, 4)
    whole = alignment.follow(queries, memory)
    past: torch.Tensor | None = alignment.begin(memory).unsqueeze(1)
    for step in range(6):
        one = alignment(queries[:, step : step + 1], memory, past)
        torch.testing.assert_close(one.weights[:, 0], whole.weights[:, step])
        past = one.past

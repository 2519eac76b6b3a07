from __future__ import annotations

import logging

import pytest
import torch
from torch import Tensor, nn

from core.updates import TrainingError, UpdateGuard


def gradient_of(weight: nn.Parameter, rows: Tensor) -> tuple[Tensor, Tensor]:
    total = (rows @ weight).square().sum()
    total.backward()  # type: ignore[no-untyped-call]
    return total, torch.tensor(rows.size(0))


def test_accumulated_batches_of_unequal_size_give_the_gradient_of_their_mean() -> None:
    torch.manual_seed(0)
    rows = torch.randn(7, 3)
    whole = nn.Parameter(torch.ones(3))
    (rows @ whole).square().mean().backward()  # type: ignore[no-untyped-call]
    parts = nn.Parameter(torch.ones(3))
    guard = UpdateGuard(patience=3)
    for piece in (rows[:5], rows[5:]):
        guard.add(*gradient_of(parts, piece))
    assert parts.grad is not None
    parts.grad /= 2  # as Lightning does for two accumulated batches
    assert guard.finish([parts], clip_norm=None, divided_by=2)
    torch.testing.assert_close(parts.grad, whole.grad)


def test_clipping_equals_torch_s_on_the_mean() -> None:
    rows = torch.tensor([[3.0, 4.0], [0.0, 8.0]])
    ours, theirs = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    (rows @ theirs).square().mean().backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([theirs], 1.0)
    guard = UpdateGuard(patience=3)
    guard.add(*gradient_of(ours, rows))
    guard.finish([ours], clip_norm=1.0, divided_by=1)
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_leaves_weights_and_moments_alone(bad: float) -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.5)
    guard = UpdateGuard(patience=3)
    guard.add(*gradient_of(weight, torch.ones(1, 2)))
    guard.finish([weight], None, 1)
    optimizer.step()
    before = weight.detach().clone()
    moment = optimizer.state[weight]["exp_avg"].clone()
    guard.add(*gradient_of(weight, torch.tensor([[bad, 1.0]])))
    assert not guard.finish([weight], None, 1)
    optimizer.step()
    assert torch.equal(weight, before)
    assert torch.equal(optimizer.state[weight]["exp_avg"], moment)
    assert guard.skipped == 1


def test_a_loss_that_is_not_finite_is_skipped_even_with_a_finite_gradient() -> None:
    weight = nn.Parameter(torch.ones(2))
    guard = UpdateGuard(patience=3)
    gradient_of(weight, torch.ones(1, 2))
    guard.add(torch.tensor(float("inf")), torch.tensor(1))
    assert not guard.finish([weight], None, 1)


def test_too_many_in_a_row_stop_the_run_and_a_good_one_begins_the_count_anew() -> None:
    weight = nn.Parameter(torch.ones(2))
    guard = UpdateGuard(patience=3)

    def step(value: float) -> None:
        weight.grad = None
        guard.add(*gradient_of(weight, torch.full((1, 2), value)))
        guard.finish([weight], None, 1)

    for value in (float("nan"), float("nan"), 1.0, float("nan"), float("nan")):
        step(value)
    with pytest.raises(TrainingError, match=r"3 updates in a row.*model\.optimizer\.lr"):
        step(float("nan"))
    assert guard.skipped == 5


# What is told of a skipped update


def skip(guard: UpdateGuard, caplog: pytest.LogCaptureFixture) -> str:
    weight = nn.Parameter(torch.ones(1))
    weight.grad = torch.tensor([float("nan")])
    with caplog.at_level(logging.WARNING):
        assert not guard.finish([weight], None, 1)
    return caplog.messages[-1]


def test_the_examples_whose_loss_is_not_finite_are_named(caplog: pytest.LogCaptureFixture) -> None:
    guard = UpdateGuard(patience=3)
    guard.add(torch.tensor(1.0), torch.tensor(2), (4, 5))
    guard.add(torch.tensor(float("nan")), torch.tensor(2), (17, 3))
    told = skip(guard, caplog)
    assert told.startswith("an update was not finite and is skipped, 1 so far: loss nan, gradient norm nan, ")
    assert told.endswith("in the batch of examples [17, 3]")


def test_where_only_the_gradient_is_not_finite_all_examples_are_named(caplog: pytest.LogCaptureFixture) -> None:
    guard = UpdateGuard(patience=3)
    guard.add(torch.tensor(1.0), torch.tensor(2), (4, 5))
    guard.add(torch.tensor(1.0), torch.tensor(2), tuple(range(50)))
    assert skip(guard, caplog).endswith(
        "somewhere in the batch of examples [4, 5] or "
        "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, …]"
    )


def test_what_was_told_isn_t_told_of_the_next_update(caplog: pytest.LogCaptureFixture) -> None:
    guard = UpdateGuard(patience=3)
    guard.add(torch.tensor(float("inf")), torch.tensor(2), (1,))
    skip(guard, caplog)
    guard.add(torch.tensor(float("inf")), torch.tensor(2), (2,))
    assert skip(guard, caplog).endswith("in the batch of examples [2]")

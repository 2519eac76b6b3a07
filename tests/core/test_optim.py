from __future__ import annotations

import pytest
import torch

from core.errors import ConfigError
from core.optim import Schedule


def test_inverse_sqrt_is_the_paper_s_formula() -> None:
    # Vaswani et al. 2017, equation 3, up to a factor: min(step ** -0.5, step * warmup ** -1.5)
    schedule = Schedule("inverse_sqrt", warmup_steps=4000)
    paper = [min(step**-0.5, step * 4000**-1.5) for step in range(1, 20001)]
    ours = [schedule.factor(step - 1) for step in range(1, 20001)]
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(paper) / max(paper))


def test_cosine_equals_torch_s() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.1)
    schedule = Schedule("cosine", warmup_steps=0, total_steps=50, floor=0.1)
    for step in range(50):
        assert schedule.factor(step - 1) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_linear_ends_at_its_floor_and_stays() -> None:
    schedule = Schedule("linear", warmup_steps=2, total_steps=6, floor=0.5)
    assert [schedule.factor(step) for step in range(8)] == [0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.5, 0.5]


def test_constant_after_warm_up() -> None:
    assert [Schedule(warmup_steps=4).factor(step) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("steps", [None, 10])
def test_cosine_without_an_end_is_refused(steps: int | None) -> None:
    with pytest.raises(ConfigError, match=r"schedule\.total_steps above schedule\.warmup_steps \(10\)"):
        Schedule("cosine", warmup_steps=10, total_steps=steps)

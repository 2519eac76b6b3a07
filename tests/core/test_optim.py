from __future__ import annotations

import pytest
import torch

from core.encoders.freezing import Freezable
from core.errors import ConfigError
from core.optim import Schedule, parameter_groups


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


class PartlyPretrained(torch.nn.Module):
    """Weights of 1, one new and one pretrained; a third that is pretrained and kept as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.new = torch.nn.Linear(1, 1, bias=False)
        self.pretrained = Freezable(torch.nn.Linear(1, 1, bias=False), freeze=False, unfreeze_at=None)
        self.kept = Freezable(torch.nn.Linear(1, 1, bias=False), freeze=True, unfreeze_at=None)
        for parameter in self.parameters():
            torch.nn.init.ones_(parameter)


def test_what_is_pretrained_moves_at_its_own_rate() -> None:
    model = PartlyPretrained()
    optimizer = torch.optim.SGD(parameter_groups(model), lr=0.5)
    scheduler = Schedule("linear", total_steps=4, pretrained_scale=0.1).attach(optimizer)
    for _ in range(2):
        optimizer.zero_grad()
        (model.new.weight + model.pretrained.model.weight).sum().backward()
        optimizer.step()
        scheduler.step()
    # Gradients of 1, and the shares 3/4 and 2/4 of the rate.
    assert model.new.weight.item() == pytest.approx(1 - 0.5 * 1.25)
    assert model.pretrained.model.weight.item() == pytest.approx(1 - 0.05 * 1.25)
    assert model.kept.model.weight.item() == 1


def test_a_rate_for_what_is_not_there_is_refused() -> None:
    optimizer = torch.optim.SGD(parameter_groups(torch.nn.Linear(1, 1)), lr=0.5)
    with pytest.raises(ConfigError, match="no pretrained part is trained"):
        Schedule(pretrained_scale=0.1).attach(optimizer)


def test_a_rate_of_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="set the part's freeze to true"):
        Schedule(pretrained_scale=0.0)

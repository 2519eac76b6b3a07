"""Learning rates: schedules, whose steps come from the config and never from a loader, and groups of parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from core.encoders.freezing import Freezable
from core.errors import ConfigError


@dataclass(frozen=True)
class Schedule:
    """How the learning rate moves: from 0 to the optimizer's own value in a linear warm-up, then along a curve.

    Attributes:
        kind: "constant"; "inverse_sqrt" (Vaswani et al. 2017, section 5.3, with the peak as the optimizer's rate:
            rate * sqrt(warmup_steps / step)); "cosine" or "linear", which fall to `floor` at `total_steps`.
        warmup_steps: updates until the peak.
        total_steps: updates until the floor; for cosine and linear. Where it is None, the command line puts
            trainer.max_steps.
        floor: the share of the peak at which cosine and linear end.
        pretrained_scale: what the rate of pretrained parts is multiplied by; those are the models that a `Freezable`
            holds.
    """

    kind: Literal["constant", "inverse_sqrt", "cosine", "linear"] = "constant"
    warmup_steps: int = 0
    total_steps: int | None = None
    floor: float = 0.0
    pretrained_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.warmup_steps < 0:
            raise ConfigError(f"schedule.warmup_steps must not be negative, got {self.warmup_steps}")
        if not 0 <= self.floor <= 1:
            raise ConfigError(f"schedule.floor is a share of the peak, between 0 and 1, got {self.floor}")
        if self.pretrained_scale <= 0:
            raise ConfigError(
                f"schedule.pretrained_scale must be above 0, got {self.pretrained_scale}: to keep what is pretrained, "
                "set the part's freeze to true"
            )
        falls = self.kind in ("cosine", "linear")
        if falls and (self.total_steps is None or self.total_steps <= self.warmup_steps):
            raise ConfigError(
                f"schedule.kind={self.kind} needs schedule.total_steps above schedule.warmup_steps "
                f"({self.warmup_steps}), got {self.total_steps}; trainer.max_steps is the usual value"
            )

    def factor(self, step: int) -> float:
        """The share of the optimizer's learning rate at an update (0-based)."""
        update = step + 1
        if update < self.warmup_steps:
            return update / self.warmup_steps
        if self.kind == "constant":
            return 1.0
        if self.kind == "inverse_sqrt":
            return math.sqrt(max(self.warmup_steps, 1) / update)
        assert self.total_steps is not None
        progress = min(1.0, (update - self.warmup_steps) / (self.total_steps - self.warmup_steps))
        share = 0.5 * (1 + math.cos(math.pi * progress)) if self.kind == "cosine" else 1 - progress
        return self.floor + (1 - self.floor) * share

    def attach(self, optimizer: Optimizer) -> LambdaLR:
        """Makes torch's scheduler, to be stepped once an update.

        Args:
            optimizer: made with the groups of `parameter_groups`.

        Raises:
            ConfigError: another rate for what is pretrained, but nothing pretrained is trained.
        """
        pretrained = [group for group in optimizer.param_groups if group.get("pretrained")]
        if self.pretrained_scale != 1 and not pretrained:
            raise ConfigError(
                f"schedule.pretrained_scale is {self.pretrained_scale}, but no pretrained part is trained: leave it "
                "out, or set freeze to false"
            )
        for group in pretrained:
            group["lr"] *= self.pretrained_scale
        return LambdaLR(optimizer, self.factor)


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """The parameters that are trained, as groups for an optimizer: new ones, and those of pretrained parts.

    Returns:
        one group or two, the new ones first, each with "params" and whether they are "pretrained".
    """
    parts = [part.model for part in model.modules() if isinstance(part, Freezable)]
    known = {parameter for part in parts for parameter in part.parameters()}  # the same tensor, not an equal one
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [parameter for parameter in trained if (parameter in known) == pretrained], "pretrained": pretrained}
        for pretrained in (False, True)
    ]
    return [group for group in groups if group["params"]]

"""Parts that were trained before: kept as they are, for ever or up to some update."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from typing_extensions import Self

from core.errors import ConfigError


class Freezable(nn.Module):
    """Holds a pretrained model, frozen or not. While it is frozen, it is in evaluation mode and has no gradients.

    A model that is unfrozen later keeps `requires_grad` from the start: the optimizer is made with all its parameters,
    and leaves those without a gradient as they are, weight decay included. DDP is told to look for
    them (`core.ranks`).

    Args:
        model: what is held.
        freeze: whether it begins frozen.
        unfreeze_at: the update from which it is trained, counted from 0; None for never.

    Raises:
        ConfigError: an update to unfreeze at, but nothing is frozen; a negative update.
    """

    model: Any  # its parts are another library's

    def __init__(self, model: nn.Module, freeze: bool, unfreeze_at: int | None) -> None:
        super().__init__()
        if unfreeze_at is not None and not freeze:
            raise ConfigError(
                f"model.encoder.unfreeze_at is {unfreeze_at}, but model.encoder.freeze is false: set freeze to true, "
                "or leave unfreeze_at out"
            )
        if unfreeze_at is not None and unfreeze_at < 0:
            raise ConfigError(f"model.encoder.unfreeze_at must be at least 0, got {unfreeze_at}")
        self.model = model
        self.freeze, self.unfreeze_at = freeze, unfreeze_at
        self.step = 0
        if freeze and unfreeze_at is None:
            model.requires_grad_(False)
        self.train()  # transformers gives models in evaluation mode, and Lightning leaves the mode as it is

    @property
    def frozen(self) -> bool:
        """Whether the model is kept as it is at this update."""
        return self.freeze and (self.unfreeze_at is None or self.step < self.unfreeze_at)

    def set_step(self, step: int) -> None:
        """Notes how many updates have been made; called before each batch of training."""
        was_frozen, self.step = self.frozen, step
        if self.frozen != was_frozen:
            self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Sets the mode; a frozen model stays in evaluation, without dropout."""
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self

    def gradients(self) -> torch.set_grad_enabled:
        """The context in which the model is called: with gradients, unless it is frozen."""
        return torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen)

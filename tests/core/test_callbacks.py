from __future__ import annotations

import pytest
import torch

from core.callbacks import AveragedWeights
from core.errors import ConfigError


def test_the_average_forgets_its_first_weights_soon_and_then_keeps_its_decay() -> None:
    averages = [torch.zeros(1)]
    callback = AveragedWeights(decay=0.5)
    expected = 0.0
    for updates, kept in ((1, 2 / 11), (2, 3 / 12), (7, 8 / 17), (9, 0.5), (1000, 0.5)):
        callback.average(averages, [torch.ones(1)], torch.tensor(updates))
        expected = kept * expected + (1 - kept)
        assert averages[0].item() == pytest.approx(expected)


def test_a_decay_of_one_would_never_learn() -> None:
    with pytest.raises(ConfigError, match=r"fit\.ema_decay must be at least 0 and below 1, got 1"):
        AveragedWeights(decay=1.0)

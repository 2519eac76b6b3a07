from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

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


def test_a_batch_norm_s_count_is_taken_over_and_its_statistics_are_averaged() -> None:
    norm = nn.BatchNorm1d(2)
    averaged = AveragedModel(norm, multi_avg_fn=AveragedWeights(decay=0.5).average, use_buffers=True)
    averaged.update_parameters(norm)
    for count in (1, 2):
        norm(torch.randn(4, 2))
        averaged.update_parameters(norm)
        assert averaged.module.num_batches_tracked == count
    mean = "running_mean"
    assert not torch.equal(averaged.module.get_buffer(mean), norm.get_buffer(mean))

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from core.callbacks import AveragedWeights
from core.callbacks.heap import EVERY, TrimmedHeap
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


@pytest.mark.skipif(TrimmedHeap().trim is None, reason="another C library than glibc")
def test_memory_that_was_freed_is_given_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    size, count = 65_536, 1_600  # below what glibc maps apart, 100 MB in all
    blocks = [library.malloc(size) for _ in range(count)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks[:-1]:  # the last one keeps the heap's end where it is
        library.free(block)
    before = resident()
    callback = TrimmedHeap()
    callback.on_train_batch_end(Mock(), Mock(), None, None, EVERY - 2)
    assert resident() > before - size * count // 2
    callback.on_train_batch_end(Mock(), Mock(), None, None, EVERY - 1)
    assert resident() < before - size * count // 2
    library.free(blocks[-1])

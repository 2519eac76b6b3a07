from __future__ import annotations

from collections import defaultdict
from math import exp, log

import pytest
import torch
from torch import Tensor

from core.ctc import ctc_beam
from core.errors import ConfigError
from tests.core.ctc.toys import BLANK, Tokens, all_labellings, random_log_probs


def reference_beam(log_probs: Tensor, beam_size: int) -> list[tuple[Tokens, float]]:
    """Hannun et al. 2014, algorithm 1, prefix by prefix, in probabilities: frames (S, V) of one source."""
    beam: dict[Tokens, tuple[float, float]] = {(): (1.0, 0.0)}  # ends with a blank, with a label
    for row in log_probs.double().exp().tolist():
        following: dict[Tokens, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for prefix, (blank, label) in beam.items():
            following[prefix][0] += row[BLANK] * (blank + label)
            if prefix:
                following[prefix][1] += row[prefix[-1]] * label
            for token, chance in enumerate(row):
                if token != BLANK:
                    before = blank if prefix[-1:] == (token,) else blank + label
                    longer = (*prefix, token)
                    following[longer][1] += chance * before
        best = sorted(following, key=lambda prefix: -sum(following[prefix]))[:beam_size]
        beam = {prefix: (following[prefix][0], following[prefix][1]) for prefix in best}
    return [(prefix, log(sum(pair))) for prefix, pair in beam.items() if sum(pair)]


def assert_same(ours: list[tuple[Tokens, float]], theirs: list[tuple[Tokens, float]]) -> None:
    assert [tokens for tokens, _ in ours] == [tokens for tokens, _ in theirs]
    assert [score for _, score in ours] == pytest.approx([score for _, score in theirs], abs=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_is_the_list_of_everything(seed: int) -> None:
    log_probs, lengths = random_log_probs(3, 5, 4, seed), torch.tensor([5, 3, 0])
    found = ctc_beam(log_probs, lengths, BLANK, beam_size=300, n_best=300)
    for row, length in enumerate(lengths.tolist()):
        wanted = all_labellings(log_probs[row, :length])
        assert_same(found[row], sorted(wanted.items(), key=lambda item: -item[1]))
        assert sum(exp(score) for _, score in found[row]) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("beam_size", [1, 2, 4, 9])
@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_narrow_beam_is_the_published_algorithm(beam_size: int, scale: float) -> None:
    log_probs = random_log_probs(12, 14, 11, seed=1, scale=scale)
    log_probs[6:, :, 2] += 3  # labels that repeat and merge a lot
    log_probs = log_probs.log_softmax(-1)
    found = ctc_beam(log_probs, torch.full((12,), 14), BLANK, beam_size, beam_size)
    for row in range(12):
        assert_same(found[row], reference_beam(log_probs[row], beam_size))


def test_a_batch_is_its_sources_one_by_one() -> None:
    log_probs, lengths = random_log_probs(4, 20, 30, seed=2), torch.tensor([20, 7, 1, 13])
    found = ctc_beam(log_probs, lengths, BLANK, 5, 3)
    for row, length in enumerate(lengths.tolist()):
        (alone,) = ctc_beam(log_probs[row : row + 1, :length], lengths[row : row + 1], BLANK, 5, 3)
        assert len(alone) == 3
        assert_same(found[row], alone)


def test_impossible_types_are_never_written() -> None:
    log_probs = random_log_probs(2, 4, 5).index_fill(2, torch.tensor([1, 3]), -torch.inf)
    found = ctc_beam(log_probs, torch.tensor([4, 2]), BLANK, 500, 500)
    assert all(set(tokens) <= {2, 4} for each in found for tokens, _ in each)
    assert [len(each) for each in found] == [len(all_labellings(random_log_probs(1, size, 3)[0])) for size in (4, 2)]


@pytest.mark.parametrize("n_best", [0, 4])
def test_n_best_fits_the_beam(n_best: int) -> None:
    with pytest.raises(ConfigError, match="n_best"):
        ctc_beam(random_log_probs(1, 2, 3), torch.tensor([2]), BLANK, 3, n_best)

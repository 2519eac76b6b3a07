from __future__ import annotations

from math import log

import pytest
import torch

from core.ctc import ctc_greedy
from tests.core.ctc.toys import BLANK, all_paths, random_log_probs, spelt


def test_by_hand() -> None:
    best = torch.tensor([[0, 3, 3, 0, 3, 2, 2, 1], [1, 1, 0, 2, 2, 2, 2, 2], [0, 0, 0, 3, 3, 3, 3, 3]])
    log_probs = torch.full((3, 8, 4), 0.1).scatter(2, best.unsqueeze(2), 0.7).log()
    found = ctc_greedy(log_probs, torch.tensor([8, 3, 0]), BLANK)
    assert [tokens for tokens, _ in found] == [(3, 3, 2, 1), (1,), ()]
    assert [score for _, score in found] == pytest.approx([8 * log(0.7), 3 * log(0.7), 0])


def test_is_the_best_of_all_paths() -> None:
    log_probs, lengths = random_log_probs(20, 5, 4), torch.arange(20) % 5 + 1
    for row, (tokens, score) in enumerate(ctc_greedy(log_probs, lengths, BLANK)):
        paths = all_paths(log_probs[row, : lengths[row]])
        best = max(paths, key=lambda path: paths[path])
        assert tokens == spelt(best)
        assert score == pytest.approx(paths[best], abs=1e-5)


def test_padding_does_not_matter() -> None:
    log_probs, lengths = random_log_probs(4, 9, 6), torch.tensor([9, 4, 1, 6])
    found = ctc_greedy(log_probs, lengths, BLANK)
    for row, length in enumerate(lengths.tolist()):
        ((tokens, score),) = ctc_greedy(log_probs[row : row + 1, :length], lengths[row : row + 1], BLANK)
        assert tokens == found[row][0]
        assert score == pytest.approx(found[row][1], abs=1e-5)

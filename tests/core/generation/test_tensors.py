from __future__ import annotations

import pytest
import torch

from core.generation.tensors import best_tokens, fold, log_normaliser, unfold


@pytest.mark.parametrize("shape", [(3, 7), (40, 2048), (7, 5003), (2, 33001)])
@pytest.mark.parametrize("k", [1, 2, 7])
def test_best_tokens_are_topk(shape: tuple[int, int], k: int) -> None:
    scores = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    scores[0, -1] = 100.0  # in what the fold leaves over
    expected, ids = scores.topk(k, dim=1)
    best, ours = best_tokens(scores, k)
    assert torch.equal(best, expected)
    assert torch.equal(ours, ids)


def test_best_tokens_where_most_are_banned_or_equal() -> None:
    scores = torch.full((2, 4000), float("-inf"))
    scores[0, [5, 505, 3999]] = torch.tensor([1.0, 3.0, 2.0])
    scores[1] = 0.5
    best, ids = best_tokens(scores, 4)
    assert best[0].tolist() == [3.0, 2.0, 1.0, float("-inf")]
    assert ids[0, :3].tolist() == [505, 3999, 5]
    assert best[1].tolist() == [0.5] * 4
    assert len(set(ids[1].tolist())) == 4


@pytest.mark.parametrize("shape", [(3, 7), (300, 2000), (3, 200_000)])
def test_log_normaliser_is_logsumexp(shape: tuple[int, int]) -> None:
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 10
    expected = logits.double().logsumexp(1, keepdim=True).float()
    torch.testing.assert_close(log_normaliser(logits), expected)


def test_log_normaliser_of_rows_whose_exponentials_overflow_or_vanish() -> None:
    logits = torch.randn(5, 2000, generator=torch.Generator().manual_seed(0))
    logits[0] += 200
    logits[1] -= 200
    logits[2] = float("-inf")
    logits[3, :-1] = float("-inf")
    expected = logits.double().logsumexp(1, keepdim=True).float()
    torch.testing.assert_close(log_normaliser(logits), expected)


def test_log_normaliser_of_a_row_is_the_same_beside_any_other() -> None:
    logits = torch.randn(2, 2000, generator=torch.Generator().manual_seed(0))
    alone = log_normaliser(logits[:1])
    logits[1] += 200
    assert torch.equal(log_normaliser(logits)[:1], alone)


@pytest.mark.parametrize("vocab_size", [2048, 5003])
def test_unfolded_columns_are_every_place_once_and_hold_their_maxima(vocab_size: int) -> None:
    scores = torch.randn(6, vocab_size, generator=torch.Generator().manual_seed(0))
    columns = fold(scores)  # of 2 sources with 3 rows each
    assert columns is not None
    width = columns.size(1)
    for column in (0, 7, 3 * width - 1):
        places = unfold(torch.full((2, 1), column), width, 3, vocab_size)
        found = scores.view(2, -1).gather(1, places)[:, :32].amax(1)
        assert torch.equal(found, columns.view(2, -1)[:, column])
    everything = unfold(torch.arange(3 * width).expand(2, -1), width, 3, vocab_size)
    assert torch.equal(everything.sort(1).values, torch.arange(3 * vocab_size).expand(2, -1))

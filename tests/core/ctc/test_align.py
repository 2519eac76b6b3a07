from __future__ import annotations

from itertools import groupby

import pytest
import torch

from core.ctc import TokenSpan, forced_align
from core.errors import DataError
from tests.core.ctc.toys import BLANK, all_paths, random_log_probs, spelt


@pytest.mark.parametrize("tokens", [(1,), (1, 2), (2, 2), (3, 1, 3), (1, 1, 1), (1, 2, 3, 1, 2)])
@pytest.mark.parametrize("seed", range(3))
def test_is_the_best_of_all_paths_that_spell_the_tokens(tokens: tuple[int, ...], seed: int) -> None:
    log_probs = random_log_probs(1, 5, 4, seed)[0]
    paths = {path: score for path, score in all_paths(log_probs).items() if spelt(path) == tokens}
    best, start, wanted = max(paths, key=lambda path: paths[path]), 0, []
    for token, group in groupby(best):
        end = start + len(list(group))
        if token != BLANK:
            wanted.append(TokenSpan(token, start, end, float(log_probs[start:end, token].mean())))
        start = end
    found = forced_align(log_probs, tokens, BLANK)
    assert [(s.token, s.start, s.end) for s in found] == [(s.token, s.start, s.end) for s in wanted]
    assert [span.score for span in found] == pytest.approx([span.score for span in wanted], abs=1e-5)


def test_nothing_has_no_spans() -> None:
    assert forced_align(random_log_probs(1, 3, 4)[0], (), BLANK) == []


@pytest.mark.parametrize("tokens", [(1, 2, 3, 1), (1, 1, 2), (2, 3, 3)])
def test_too_few_frames_are_refused(tokens: tuple[int, ...]) -> None:
    assert not any(spelt(path) == tokens for path in all_paths(random_log_probs(1, 3, 4)[0]))
    with pytest.raises(DataError, match="3 frames"):
        forced_align(random_log_probs(1, 3, 4)[0], tokens, BLANK)


@pytest.mark.parametrize("token", [BLANK, 4, -1])
def test_what_is_no_label_is_refused(token: int) -> None:
    with pytest.raises(DataError, match=f"token {token} "):
        forced_align(random_log_probs(1, 5, 4)[0], (1, token), BLANK)


def test_reads_what_has_a_gradient() -> None:
    log_probs = random_log_probs(1, 6, 5)[0]
    assert forced_align(log_probs.clone().requires_grad_(), (1, 3), BLANK) == forced_align(log_probs, (1, 3), BLANK)


def test_reads_half_precision() -> None:
    log_probs = random_log_probs(1, 6, 5)[0]
    half = forced_align(log_probs.to(torch.bfloat16), (1, 3), BLANK)
    assert half == forced_align(log_probs.to(torch.bfloat16).float(), (1, 3), BLANK)

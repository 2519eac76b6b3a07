"""Where in the sound each token is: CTC's best path through a given text.

Letters: S memory length, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.ctc.objective import feasible
from core.errors import DataError


@dataclass(frozen=True)
class TokenSpan:
    """The frames of one token.

    Attributes:
        token: its id.
        start: the first frame.
        end: the frame behind the last; blanks lie between spans.
        score: the mean log-probability of the token in its frames; at or below zero.
    """

    token: int
    start: int
    end: int
    score: float


def forced_align(log_probs: Tensor, tokens: Sequence[int], blank: int) -> list[TokenSpan]:
    """Aligns tokens with the frames of one source by the most probable path that spells them.

    Args:
        log_probs: (S, V).
        tokens: ids, without the blank and the end token.
        blank: the blank's id.

    Returns:
        a span for each token, in order.

    Raises:
        DataError: the frames are too few for the tokens, or a token is the blank or unknown.
    """
    from torchaudio.functional import forced_align as viterbi  # start-up: torchaudio is for speech alone

    size, vocab_size = log_probs.shape
    wrong = [token for token in tokens if token == blank or not 0 <= token < vocab_size]
    if wrong:
        raise DataError(f"alignment: token {wrong[0]} is the blank ({blank}) or none of the {vocab_size} types")
    if not tokens:
        return []
    target = torch.tensor([list(tokens)])
    if not feasible(torch.tensor([size]), target, torch.tensor([len(tokens)])).all():
        raise DataError(
            f"alignment: {size} frames are too few for {len(tokens)} tokens (CTC needs a frame for each, and one more "
            "between two equal ones): this is not what was said, or the encoder subsamples too much"
        )
    path, scores = viterbi(log_probs.detach().float().cpu().unsqueeze(0), target, blank=blank)
    return _spans(path[0].tolist(), scores[0].tolist(), blank)


def _spans(path: list[int], scores: list[float], blank: int) -> list[TokenSpan]:
    """Merges the repeats of a path (S,) and drops its blanks."""
    spans, start = [], 0
    for end in range(1, len(path) + 1):
        if end == len(path) or path[end] != path[start]:
            if path[start] != blank:
                spans.append(TokenSpan(path[start], start, end, sum(scores[start:end]) / (end - start)))
            start = end
    return spans

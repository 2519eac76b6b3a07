"""CTC's best path: the best label of each frame, repeats merged, blanks dropped.

Letters: B batch, S memory length, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor

from core.masks import length_mask

Path = tuple[tuple[int, ...], float]


def ctc_greedy(log_probs: Tensor, lengths: Tensor, blank: int) -> list[Path]:
    """Reads what the most probable path of each source spells (Graves et al. 2006, section 3.2).

    Args:
        log_probs: (B, S, V).
        lengths: (B,), in frames.
        blank: the blank's id.

    Returns:
        for each source the tokens, and the log-probability of that one path: at most that of the tokens.
    """
    inside = length_mask(lengths, log_probs.size(1))
    best, labels = log_probs.max(-1)  # (B, S)
    labels = labels.masked_fill(~inside, blank)
    spoken = labels != blank
    spoken[:, 1:] &= labels[:, 1:] != labels[:, :-1]
    scores = best.masked_fill(~inside, 0).sum(1).tolist()
    tokens = labels[spoken].tolist()
    found, start = [], 0
    for count, score in zip(spoken.sum(1).tolist(), scores, strict=True):
        found.append((tuple(tokens[start : start + count]), score))
        start += count
    return found

"""Reductions over the vocabulary: what a step of generation spends its time on, beside the model.

Letters: N rows, V vocabulary.
"""

from __future__ import annotations

from math import e, log2

import torch
from torch import Tensor

# Intermediate results of this many elements stay in the cache of a core: larger ones cost page faults on the CPU.
BLOCK = 1 << 17
LOG2_E = log2(e)
FOLD = 32


def log_normaliser(logits: Tensor) -> Tensor:
    """The logarithm of the sum of exponentials of each row: (N, V) to (N, 1).

    On the CPU the exponentials are summed as they are: finding each row's maximum and taking it off first, as logsumexp
    does, is a quarter of the time. And they are powers of two: torch.exp is MKL's, exp2 is SLEEF's and four times as
    fast (320 rows of 8,000: logsumexp 2.2 ms, sums of exp 1.8, of exp2 0.7). Rounding the exponent is no more than what
    rounding made of the logit. Rows whose sum leaves float32's comfortable range are done again by logsumexp.
    """
    if logits.device.type != "cpu" or logits.dtype != torch.float32:
        return logits.logsumexp(-1, keepdim=True)
    rows = max(1, BLOCK // logits.size(1))
    buffer = logits.new_empty(min(rows, logits.size(0)), logits.size(1))  # one for all blocks: fresh pages cost more
    blocks = ((part, buffer[: part.size(0)]) for part in torch.split(logits, rows))
    sums = torch.cat([torch.mul(part, LOG2_E, out=own).exp2_().sum(-1, keepdim=True) for part, own in blocks])
    normal = (sums > 1e-20) & (sums < 1e38)  # what vanishes beside 1e-20, below 1e-38 each, is no digit of the sum
    if normal.all():
        return sums.log_()
    return torch.where(normal, sums.log(), logits.logsumexp(-1, keepdim=True))


def best_tokens(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best tokens of each row, best first: scores (N, V) to their scores and ids (N, k).

    On the CPU torch.topk walks through a row element by element, while a maximum is vectorised. So the row is folded
    into columns of 8 or 16, the columns with the k greatest maxima are found (by the same way), and they contain the k
    best.
    """
    vocab_size = scores.size(1)
    fold = 8 if vocab_size < 16384 else 16
    width = vocab_size // fold
    if scores.device.type != "cpu" or vocab_size < 2048 or fold * k > width:
        return scores.topk(k, dim=1)
    folded = scores[:, : fold * width].reshape(-1, fold, width).amax(1)  # (N, width)
    columns = best_tokens(folded, k)[1]  # (N, k)
    ids = (columns.unsqueeze(1) + torch.arange(0, fold * width, width).unsqueeze(1)).flatten(1)  # (N, fold * k)
    if fold * width < vocab_size:
        rest = torch.arange(fold * width, vocab_size)
        ids = torch.cat([ids, rest.expand(ids.size(0), -1)], dim=1)
    best, order = scores.gather(1, ids).topk(k, dim=1)
    return best, ids.gather(1, order)


def fold(scores: Tensor) -> Tensor | None:
    """The maximum of each of W columns of a row, of the tokens c, W + c, ... 31 W + c: (N, V) to (N, W).

    None where finding the best of all directly is as good. `unfold` tells which tokens may be the best.
    """
    width = scores.size(1) // FOLD
    if scores.device.type != "cpu" or width < 64:
        return None
    halfway = scores[:, : FOLD * width].reshape(-1, 8, FOLD * width // 8).amax(1)  # longer stretches are faster
    return halfway.view(-1, FOLD // 8, width).amax(1)


def unfold(columns: Tensor, width: int, rows: int, vocab_size: int) -> Tensor:
    """Where the tokens of columns stand in K rows of scores, with those at the end that no column has.

    Args:
        columns: (B, M), their places in K * W.
        width: the number of columns of a row W.
        rows: K.
        vocab_size: V.

    Returns:
        places in K * V, (B, M'), each once.
    """
    row, column = columns.div(width, rounding_mode="floor"), columns % width
    starts = torch.arange(0, FOLD * width, width, device=columns.device)
    places = ((row * vocab_size + column).unsqueeze(2) + starts).flatten(1)
    if FOLD * width == vocab_size:
        return places
    all_rows = torch.arange(0, rows * vocab_size, vocab_size, device=columns.device).unsqueeze(1)
    rest = (all_rows + torch.arange(FOLD * width, vocab_size, device=columns.device)).flatten()
    return torch.cat([places, rest.expand(len(columns), -1)], dim=1)

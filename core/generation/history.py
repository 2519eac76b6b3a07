"""Keeps a text from repeating what stood before it: the speaker's earlier turns in a dialogue, say.

Letters: B sources, N rows, P n-grams of a source, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import inf

import torch
from torch import Tensor
from typing_extensions import override

from core.batch import TextBatch
from core.generation.constraints import Phrase
from core.generation.processors import Processor, Written


class NoRepeatHistory(Processor):
    """A token that would end an n-gram of earlier texts is forbidden, or made less likely.

    Args:
        earlier: for each of the B sources its earlier texts, as token ids; n-grams don't cross them.
        size: of the n-grams, at least 1.
        penalty: what is taken off the token's log-probability; infinite to forbid it.
        device: where the scores are.
    """

    needs_tokens = True

    def __init__(self, earlier: Sequence[Sequence[Phrase]], size: int, penalty: float, device: torch.device) -> None:
        ngrams = [sorted({ngram for text in texts for ngram in _ngrams(text, size)}) for texts in earlier]
        most = max(map(len, ngrams), default=0)
        absent = (-1,) * size  # no token
        padded = [[*found, *[absent] * (most - len(found))] for found in ngrams]
        self._ngrams = torch.tensor(padded, dtype=torch.int64, device=device).view(len(ngrams), most, size)  # (B, P, n)
        self._size, self._penalty = size, penalty

    @override
    def apply(self, scores: Tensor, written: Written) -> None:
        before = self._size - 1
        if written.length < before or not self._ngrams.numel():
            return
        width = scores.size(0) // written.sources.size(0)
        ngrams = self._ngrams[written.sources].repeat_interleave(width, dim=0)  # (N, P, n)
        recent = written.tokens[:, written.length - before :].unsqueeze(1)  # (N, 1, n - 1)
        found = (ngrams[:, :, :-1] == recent).all(2) & (ngrams[:, :, -1] >= 0)
        rows, which = found.nonzero(as_tuple=True)
        tokens = ngrams[rows, which, -1]
        scores[rows, tokens] = -inf if self._penalty == inf else scores[rows, tokens] - self._penalty


def _ngrams(text: Phrase, size: int) -> list[Phrase]:
    return [text[start : start + size] for start in range(len(text) - size + 1)]


def earlier_turns(source: TextBatch, symbols: Sequence[int], eos: int) -> list[list[Phrase]]:
    """What the one who is to reply has said before.

    Args:
        source: B histories: turns behind their speakers' symbols, at the end the symbol of who replies.
        symbols: the ids of all speakers' symbols.
        eos: the end token, where the histories have one.

    Returns:
        for each history the turns of that speaker, as token ids without the symbol.
    """
    rows = zip(source.values.tolist(), source.lengths.tolist(), strict=True)
    return [_turns_of_last([token for token in row[:length] if token != eos], set(symbols)) for row, length in rows]


def _turns_of_last(tokens: list[int], symbols: set[int]) -> list[Phrase]:
    starts = [place for place, token in enumerate(tokens) if token in symbols]
    if not starts:
        return []
    speaker = tokens[starts[-1]]
    return [tuple(tokens[start + 1 : end]) for start, end in pairwise(starts) if tokens[start] == speaker]

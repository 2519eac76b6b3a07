"""Where a model looked while it wrote: attention weights of finished hypotheses, and what coverage makes of them.

Letters: B sources, L layers, T target length, S memory length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from core.batch import Source
from core.encoders.base import Memory
from core.errors import ConfigError
from core.generation.entry import evaluating
from core.generation.options import Hypothesis
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials


def attend(
    model: EncoderDecoder, source: Source, hypotheses: Sequence[Hypothesis], specials: Specials
) -> list[Tensor] | None:
    """Reads hypotheses again, one for each of B sources, and returns the attention weights.

    Returns:
        for each (L, T, S), heads averaged: T tokens that were written, the end token included where the hypothesis is
        finished; the t-th of them was written with the t-th weights. None for a model without attention.
    """
    if not hypotheses:
        return []
    with torch.inference_mode(), evaluating([model]):
        return _attend(model, model.encode(source), hypotheses, specials)


def _attend(
    model: EncoderDecoder, memory: Memory, hypotheses: Sequence[Hypothesis], specials: Specials
) -> list[Tensor] | None:
    size = 1 + max(len(hypothesis.tokens) for hypothesis in hypotheses)
    read = [[specials.bos, *h.tokens, *[specials.pad] * (size - 1 - len(h.tokens))] for h in hypotheses]
    weights = model.decoder.attention(torch.tensor(read, device=memory.states.device), memory)  # (B, L, T, S)
    if weights is None:
        return None
    written = [len(hypothesis.tokens) + hypothesis.finished for hypothesis in hypotheses]
    lengths = memory.lengths.tolist()
    return [each[:, :target, :length] for each, target, length in zip(weights, written, lengths, strict=True)]


def coverage_penalty(weights: Tensor) -> float:
    """How much of a memory was left unread: weights (L, T, S) to the sum over S of log(min(sum over T, 1)).

    GNMT's coverage (Wu et al. 2016, equation 14), over the layers' average; at or below zero.
    """
    read = weights.float().mean(0).sum(0).clamp(min=1e-6, max=1)  # (S,)
    return float(read.log().sum())


def rerank_by_coverage(
    model: EncoderDecoder,
    source: Source,
    hypotheses: Sequence[Sequence[Hypothesis]],
    specials: Specials,
    weight: float,
) -> list[list[Hypothesis]]:
    """Adds `weight` times the coverage penalty to the scores, and sorts each source's n best anew.

    Finished hypotheses stay before the ones that were cut.

    Raises:
        ConfigError: the model has no attention.
    """
    rows = [number for number, best in enumerate(hypotheses) for _ in best]
    if not rows:
        return [list(best) for best in hypotheses]
    with torch.inference_mode(), evaluating([model]):
        memory = model.encode(source)
        memory = memory.select(torch.tensor(rows, device=memory.states.device))
        weights = _attend(model, memory, [hypothesis for best in hypotheses for hypothesis in best], specials)
    if weights is None:
        raise ConfigError(
            f"coverage needs attention weights, but {type(model.decoder).__name__} has none: decode without it"
        )
    penalties = iter(coverage_penalty(each) for each in weights)
    scored = [[replace(h, score=h.score + weight * next(penalties)) for h in best] for best in hypotheses]
    return [sorted(best, key=lambda h: (not h.finished, -h.score)) for best in scored]

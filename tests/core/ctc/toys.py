"""CTC so small that every path can be listed."""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby, product
from math import exp, log

import torch
from torch import Tensor

from core.ctc import CtcEncoderDecoder
from core.heads import CtcHead
from tests.core.generation.toys import SPECIALS, WIDTH, ToyDecoder, ToyEncoder

BLANK = SPECIALS.pad
Tokens = tuple[int, ...]


def random_log_probs(batch: int, size: int, vocab_size: int, seed: int = 0, scale: float = 1.5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(batch, size, vocab_size, generator=generator)).log_softmax(-1)


def spelt(path: tuple[int, ...]) -> Tokens:
    """What a path spells: repeats merged, then blanks dropped (Graves et al. 2006, equation 2)."""
    return tuple(token for token, _ in groupby(path) if token != BLANK)


def all_paths(log_probs: Tensor) -> dict[tuple[int, ...], float]:
    """The log-probability of every path over the frames (S, V)."""
    size, vocab_size = log_probs.shape
    rows = log_probs.double().tolist()
    return {
        path: sum(row[token] for row, token in zip(rows, path, strict=True))
        for path in product(range(vocab_size), repeat=size)
    }


def all_labellings(log_probs: Tensor) -> dict[Tokens, float]:
    """The log-probability of everything that frames (S, V) can spell."""
    sums: dict[Tokens, float] = defaultdict(float)
    for path, log_prob in all_paths(log_probs).items():
        sums[spelt(path)] += exp(log_prob)
    return {tokens: log(value) for tokens, value in sums.items()}


def ctc_model(vocab_size: int = 7, seed: int = 0, scale: float = 2.0) -> CtcEncoderDecoder:
    torch.manual_seed(seed)
    head = CtcHead(WIDTH, vocab_size)
    torch.nn.init.normal_(head.projection.weight, std=scale / 2)
    return CtcEncoderDecoder(ToyEncoder(11), ToyDecoder(vocab_size, scale=scale), head)

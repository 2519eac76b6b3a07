"""Texts of a few tokens, and a model of them."""

from __future__ import annotations

import random

from core.language_model.kneser_ney import estimate
from core.language_model.ngrams import NgramModel
from tests.core.generation.toys import SPECIALS


def random_texts(types: int, seed: int = 0, count: int = 60, longest: int = 7) -> list[list[int]]:
    """Texts in which some tokens follow others more often, and the last type never occurs."""
    rng = random.Random(seed)
    weights = [[rng.random() ** 3 for _ in range(4, types - 1)] for _ in range(types)]
    texts = []
    for _ in range(count):
        text = [rng.randrange(4, types - 1)]
        while len(text) < rng.randint(1, longest):
            text += rng.choices(range(4, types - 1), weights[text[-1]])
        texts.append(text)
    return texts


def toy_ngrams(types: int = 7, order: int = 3, seed: int = 0) -> NgramModel:
    return estimate(random_texts(types, seed), order, writable(types), SPECIALS.eos)


def writable(types: int) -> list[int]:
    return [token for token in range(types) if token not in (SPECIALS.pad, SPECIALS.bos)]

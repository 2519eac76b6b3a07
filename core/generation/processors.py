"""Processors forbid tokens, given what was written before them.

Letters: B sources, K rows a source, N = B * K rows, T tokens written so far, V vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor
from typing_extensions import override

from core.generation.constraints import Constraints, Phrase
from core.generation.options import GenerationOptions
from core.tokenization import Specials


@dataclass(frozen=True)
class Written:
    """What stands before the next token.

    Attributes:
        length: how many tokens T each row has, begin token not counted.
        tokens: (N, T), or (N, 0) where no processor needs them.
        sources: (B,), the number of each source in its batch at the start; rows are grouped by source.
    """

    length: int
    tokens: Tensor
    sources: Tensor


class Processor(ABC):
    """One rule. Rows don't depend on each other.

    Attributes:
        needs_tokens: it reads `Written.tokens`.
    """

    needs_tokens: bool = False

    @abstractmethod
    def apply(self, scores: Tensor, written: Written) -> None:
        """Sets the scores (N, V) of what may not come next to -inf, in place."""


class ForbiddenTokens(Processor):
    """Tokens that never occur."""

    def __init__(self, tokens: Sequence[int], device: torch.device) -> None:
        self._tokens = torch.tensor(list(tokens), dtype=torch.int64, device=device)

    @override
    def apply(self, scores: Tensor, written: Written) -> None:
        scores.index_fill_(1, self._tokens, -inf)


class MinLength(Processor):
    """No end token before `length` tokens."""

    def __init__(self, length: int, eos: int) -> None:
        self._length, self._eos = length, eos

    @override
    def apply(self, scores: Tensor, written: Written) -> None:
        if written.length < self._length:
            scores[:, self._eos] = -inf


class ForbiddenPhrases(Processor):
    """Phrases of two or more tokens that never occur: their last token is forbidden after the others."""

    needs_tokens = True

    def __init__(self, phrases: Sequence[Phrase], device: torch.device) -> None:
        by_size: dict[int, list[Phrase]] = defaultdict(list)
        for phrase in phrases:
            by_size[len(phrase)].append(phrase)
        self._phrases = [torch.tensor(group, device=device) for group in by_size.values()]  # each (P, size)

    @override
    def apply(self, scores: Tensor, written: Written) -> None:
        for phrases in self._phrases:
            before = phrases.size(1) - 1
            if written.length >= before:
                recent = written.tokens[:, written.length - before :].unsqueeze(1)  # (N, 1, before)
                rows, which = (recent == phrases[:, :-1]).all(2).nonzero(as_tuple=True)
                scores[rows, phrases[which, -1]] = -inf


class NoRepeatNgram(Processor):
    """No n-gram occurs twice (Paulus et al. 2017, section 2.5)."""

    needs_tokens = True

    def __init__(self, size: int) -> None:
        self._size = size

    @override
    def apply(self, scores: Tensor, written: Written) -> None:
        if written.length < self._size:
            return
        ngrams = written.tokens.unfold(1, self._size, 1)  # (N, T - size + 1, size)
        recent = written.tokens[:, written.length - self._size + 1 :].unsqueeze(1)  # (N, 1, size - 1)
        rows, starts = (ngrams[:, :, :-1] == recent).all(2).nonzero(as_tuple=True)
        scores[rows, ngrams[rows, starts, -1]] = -inf


class ForcedPrefix(Processor):
    """The first tokens of each source's hypotheses. They hold against all other rules, which are its parts."""

    def __init__(self, prefixes: Sequence[Phrase], rules: Sequence[Processor], device: torch.device) -> None:
        """Makes the rule: a prefix for each source, and the other rules."""
        self._size = max(map(len, prefixes))
        padded = [[*prefix, *[-1] * (self._size - len(prefix))] for prefix in prefixes]
        self._prefixes = torch.tensor(padded, dtype=torch.int64, device=device)  # -1: nothing is forced
        self._rules = tuple(rules)
        self.needs_tokens = any(rule.needs_tokens for rule in rules)

    @override
    def apply(self, scores: Tensor, written: Written) -> None:
        if written.length >= self._size:
            for rule in self._rules:
                rule.apply(scores, written)
            return
        width = scores.size(0) // written.sources.size(0)
        forced = self._prefixes[written.sources, written.length].repeat_interleave(width)
        rows = (forced >= 0).nonzero().squeeze(1)
        kept = scores[rows, forced[rows]]
        for rule in self._rules:
            rule.apply(scores, written)
        scores[rows] = -inf
        scores[rows, forced[rows]] = kept


def make_processors(
    options: GenerationOptions,
    constraints: Constraints,
    specials: Specials,
    batch: int,
    device: torch.device,
    others: Sequence[Processor] = (),
) -> tuple[Processor, ...]:
    """The rules that are asked for, for a batch of sources, and others; begin token and padding are never written."""
    never = {specials.pad, specials.bos, *constraints.banned} - {specials.eos}
    rules: list[Processor] = [ForbiddenTokens(sorted(never), device)] if never else []
    if options.min_length:
        rules.append(MinLength(options.min_length, specials.eos))
    if phrases := [phrase for phrase in constraints.forbidden if len(phrase) > 1]:
        rules.append(ForbiddenPhrases(phrases, device))
    if options.no_repeat_ngram:
        rules.append(NoRepeatNgram(options.no_repeat_ngram))
    rules += others
    if any(constraints.prefixes):
        return (ForcedPrefix([constraints.prefix_of(source) for source in range(batch)], rules, device),)
    return tuple(rules)

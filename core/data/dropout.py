"""Training rows whose words are cut anew each epoch."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from core.data.encode import Limits, TextDataset, TokenTable
from core.errors import ConfigError
from core.tokenization import SubwordTokenizer, TrainedTokenizer
from core.tokenization.dropout import MergeDropout


class DroppedTable(TokenTable):
    """Rows of token ids that differ from epoch to epoch; `lengths` are those without dropout.

    Args:
        plain: the rows without dropout.
        texts: what they were cut from.
        dropout: cuts words.
        kept: which of a row's tokens stay, end token not counted.
        eos: what ends a row; None for nothing.
    """

    def __init__(
        self, plain: TokenTable, texts: Iterable[str], dropout: MergeDropout, kept: slice, eos: int | None
    ) -> None:
        self.values, self.lengths, self.ends = plain.values, plain.lengths, plain.ends
        self.dropout, self.kept, self.eos = dropout, kept, eos
        numbers: dict[str, int] = {}
        rows = ([numbers.setdefault(word, len(numbers)) for word in dropout.words(text)] for text in texts)
        self.words = TokenTable(rows)
        self.spellings = list(numbers)

    def tensor(self, row: int, epoch: int) -> Tensor:
        """One row as (length,) int64: a pure function of row, epoch and the dropout's seed."""
        words = self.words[row].tolist()
        random = np.random.default_rng((self.dropout.seed, epoch, row))
        variants = random.integers(self.dropout.variants, size=len(words)).tolist()
        cut, spellings = self.dropout.cut, self.spellings
        ids = [index for word, variant in zip(words, variants, strict=True) for index in cut(spellings[word], variant)]
        end = [] if self.eos is None else [self.eos]
        return torch.tensor(ids[self.kept] + end, dtype=torch.int64)


def drop_merges(
    dataset: TextDataset,
    source_tokenizer: TrainedTokenizer,
    target_tokenizer: TrainedTokenizer,
    limits: Limits,
    dropout: float,
    seed: int,
) -> TextDataset:
    """Makes training data whose both sides are cut with BPE-dropout.

    Raises:
        ConfigError: a tokenizer has no merges to leave out.
    """
    if not isinstance(source_tokenizer, SubwordTokenizer) or not isinstance(target_tokenizer, SubwordTokenizer):
        kinds = f"{source_tokenizer.kind!r} and {target_tokenizer.kind!r}"
        raise ConfigError(f"data.bpe_dropout needs tokenizer.kind bpe on both sides, got {kinds}: set it to 0")
    assert dataset.targets is not None
    eos = source_tokenizer.specials.eos if limits.append_eos else None
    source_dropout = MergeDropout(source_tokenizer, dropout, 2 * seed)
    target_dropout = MergeDropout(target_tokenizer, dropout, 2 * seed + 1)
    sources = (pair.source for pair in dataset.pairs)
    targets = (pair.targets[0] for pair in dataset.pairs)
    return TextDataset(
        dataset.pairs,
        DroppedTable(dataset.sources, sources, source_dropout, limits.kept_source, eos),
        DroppedTable(dataset.targets, targets, target_dropout, slice(limits.target), target_tokenizer.specials.eos),
        dataset.pad,
    )

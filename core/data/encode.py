"""From text pairs to token ids, kept in two flat arrays and counted on the way.

Letters: N examples.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.batch import Seq2SeqBatch
from core.data.collate import Example, collate, pad_tokens
from core.data.corpus import TextPair
from core.data.dataset import ExampleDataset, Integers
from core.data.mapped import chunks
from core.data.own_words import number_own_words
from core.data.report import SplitReport
from core.data.stored_pairs import StoredPairs
from core.errors import ConfigError
from core.tokenization import Specials, TrainedTokenizer

Overlong = Literal["truncate", "drop"]
End = Literal["first", "last"]


@dataclass(frozen=True)
class Limits:
    """How long an example may be, and what ends its source.

    Attributes:
        source: the most source tokens, without the end token.
        target: the most target tokens, without the end token.
        overlong: what happens to longer training pairs; in validation and test they are always truncated.
        append_eos: end the source with the end token. An empty source is the end token alone in any case.
        source_end: which of an over-long source's tokens stay: the first, or the last, as of a dialogue.
    """

    source: int = 256
    target: int = 256
    overlong: Overlong = "drop"
    append_eos: bool = True
    source_end: End = "first"

    def __post_init__(self) -> None:
        for side in ("source", "target"):
            if getattr(self, side) < 1:
                raise ConfigError(f"data.max_{side}_length must be at least 1, got {getattr(self, side)}")

    @property
    def kept_source(self) -> slice:
        """The tokens of a source that stay."""
        return slice(self.source) if self.source_end == "first" else slice(-self.source, None)


class TokenTable:
    """Rows of token ids in one flat array: little memory, and shared by worker processes.

    Args:
        rows: token ids of N texts.

    Attributes:
        values: all rows, one behind the other.
        lengths: of the rows, (N,).
        ends: where they end in `values`, (N,).
    """

    values: NDArray[np.int32]
    lengths: Integers
    ends: Integers

    def __init__(self, rows: Iterable[Sequence[int]] = ()) -> None:
        values, lengths = array("i"), array("q")
        for row in rows:
            values.extend(row)
            lengths.append(len(row))
        self._set(np.array(values, dtype=np.int32), np.array(lengths, dtype=np.int64))

    def _set(self, values: NDArray[np.int32], lengths: Integers) -> None:
        self.values, self.lengths, self.ends = values, lengths, lengths.cumsum()

    @classmethod
    def joined(cls, tables: Sequence[TokenTable]) -> TokenTable:
        """The rows of several tables, one behind the other."""
        table = TokenTable()
        if tables:
            table._set(
                np.concatenate([each.values for each in tables]), np.concatenate([each.lengths for each in tables])
            )
        return table

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        return self.values[self.ends[row] - self.lengths[row] : self.ends[row]]

    def tensor(self, row: int, epoch: int) -> Tensor:
        """One row as (length,) int64, the same in all epochs."""
        return torch.from_numpy(self[row].astype(np.int64))


class TextDataset(ExampleDataset):
    """Pairs and their token ids.

    Attributes:
        pairs: N of them.
        sources: their source ids.
        targets: their target ids, with the end token; None at prediction.
        pad: the id of padding on both sides.
        open_types: the vocabulary's size where ids from there on are words that it lacks; None where there are none.
    """

    def __init__(
        self,
        pairs: Sequence[TextPair],
        sources: TokenTable,
        targets: TokenTable | None,
        pad: int = 0,
        open_types: int | None = None,
    ) -> None:
        self.pairs, self.sources, self.targets, self.pad, self.open_types = pairs, sources, targets, pad, open_types

    @property
    def source_lengths(self) -> Integers:
        """In tokens."""
        return self.sources.lengths

    @property
    def target_lengths(self) -> Integers:
        """In tokens; at prediction the sources'."""
        return (self.targets or self.sources).lengths

    @property
    def ids(self) -> list[int]:
        """The pairs' numbers."""
        return self.pairs.ids if isinstance(self.pairs, StoredPairs) else [pair.id for pair in self.pairs]

    def name(self, index: int) -> str:
        """What to call an example in a message."""
        return f"example {self.pairs[index].id}"

    def collate(self, examples: Sequence[Example]) -> Seq2SeqBatch:
        """Makes a batch of examples."""
        batch = collate(examples, partial(pad_tokens, pad=self.pad), self.pad)
        return batch if self.open_types is None else number_own_words(batch, self.open_types, Specials().unk)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Example:
        pair = self.pairs[index]
        target = None if self.targets is None else self.targets.tensor(index, self.epoch)
        return Example(pair.id, self.sources.tensor(index, self.epoch), target, pair.source, pair.targets)


def close_source(ids: Sequence[int], limits: Limits, eos: int) -> list[int]:
    """Cuts a source to its limit and ends it."""
    kept = list(ids[limits.kept_source])
    return [*kept, eos] if limits.append_eos or not kept else kept


@dataclass(frozen=True)
class CutPairs:
    """The tokens of some pairs.

    Attributes:
        kept: the places of those that are used.
        sources: their source ids.
        targets: their target ids, with the end token.
        report: what was counted.
    """

    kept: list[int]
    sources: TokenTable
    targets: TokenTable
    report: SplitReport


def cut_pairs(
    pairs: Sequence[TextPair],
    source_tokenizer: TrainedTokenizer,
    target_tokenizer: TrainedTokenizer,
    limits: Limits,
    training: bool,
) -> CutPairs:
    """Cuts pairs into tokens, of no more than a chunk: it has Python's lists of them in memory (see `encode_pairs`)."""
    sources = source_tokenizer.encode_batch([pair.source for pair in pairs])
    targets = target_tokenizer.encode_batch([pair.targets[0] for pair in pairs])
    empty = np.array([not source or not target for source, target in zip(sources, targets, strict=True)], dtype=bool)
    overlong_source = np.array([len(ids) > limits.source for ids in sources], dtype=bool)
    overlong_target = np.array([len(ids) > limits.target for ids in targets], dtype=bool)
    dropped = np.zeros(len(pairs), dtype=bool)
    if training:
        dropped = empty | ((overlong_source | overlong_target) & (limits.overlong == "drop"))
    kept = np.flatnonzero(~dropped).tolist()
    source_eos, target_eos = source_tokenizer.specials.eos, target_tokenizer.specials.eos
    source_table = TokenTable(close_source(sources[row], limits, source_eos) for row in kept)
    target_table = TokenTable([*targets[row][: limits.target], target_eos] for row in kept)
    report = SplitReport(
        pairs=len(pairs),
        empty_sources=sum(not ids for ids in sources),
        empty_targets=sum(not ids for ids in targets),
        overlong_sources=int(overlong_source.sum()),
        overlong_targets=int(overlong_target.sum()),
        dropped=int(dropped.sum()),
        source_tokens=int(source_table.lengths.sum()),
        target_tokens=int(target_table.lengths.sum()),
    )
    return CutPairs(kept, source_table, target_table, report)


def encode_pairs(
    pairs: Sequence[TextPair],
    source_tokenizer: TrainedTokenizer,
    target_tokenizer: TrainedTokenizer,
    limits: Limits,
    training: bool,
) -> tuple[TextDataset, SplitReport]:
    """Cuts pairs into tokens.

    In training, pairs with an empty side are left out, and over-long ones are left out or truncated; in evaluation
    nothing is left out, and over-long sides are truncated. All of it is counted.

    Args:
        pairs: what was read; in training one target each (`spread_references`).
        source_tokenizer: of the source.
        target_tokenizer: of the target.
        limits: lengths, and what happens beyond them.
        training: see above.

    Returns:
        the examples, and what was counted.
    """
    report, kept, sources, targets = SplitReport(0), [], [], []
    for chunk in chunks(pairs):
        cut = cut_pairs(chunk, source_tokenizer, target_tokenizer, limits, training)
        kept.append(np.array(cut.kept, dtype=np.int64) + report.pairs)
        sources.append(cut.sources)
        targets.append(cut.targets)
        report += cut.report
    rows = np.concatenate(kept) if kept else np.empty(0, dtype=np.int64)
    examples = pairs.select(rows) if isinstance(pairs, StoredPairs) else [pairs[row] for row in rows.tolist()]
    tables = TokenTable.joined(sources), TokenTable.joined(targets)
    return TextDataset(examples, *tables, target_tokenizer.specials.pad, source_tokenizer.open_types), report

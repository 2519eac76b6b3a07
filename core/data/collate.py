"""From examples to padded batches: pure functions.

Letters: B batch, S source length, T target length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.batch import Seq2SeqBatch, TextBatch


@dataclass(frozen=True)
class TextExample:
    """One example, cut into tokens.

    Attributes:
        id: its number in its corpus.
        source: token ids (S,) int64.
        target: token ids (T,) int64 without the begin and with the end token; None at prediction.
        source_text: the raw source.
        references: the raw targets.
    """

    id: int
    source: Tensor
    target: Tensor | None
    source_text: str
    references: tuple[str, ...] = ()


def pad_tokens(rows: Sequence[Tensor], pad: int) -> TextBatch:
    """Puts token ids of B rows into one table (B, longest)."""
    lengths = torch.tensor([row.numel() for row in rows], dtype=torch.int64)
    return TextBatch(torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=pad), lengths)


def collate(examples: Sequence[TextExample], pad: int = 0) -> Seq2SeqBatch:
    """Makes a batch of examples, of which all or none have a target."""
    targets = [example.target for example in examples if example.target is not None]
    return Seq2SeqBatch(
        source=pad_tokens([example.source for example in examples], pad),
        target=pad_tokens(targets, pad) if targets else None,
        ids=tuple(example.id for example in examples),
        source_texts=tuple(example.source_text for example in examples),
        references=tuple(example.references for example in examples) if targets else (),
    )

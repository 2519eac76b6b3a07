"""From examples to padded batches: pure functions.

Letters: B batch, S source length, T target length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from core.batch import AudioBatch, FrameBatch, ImageBatch, Seq2SeqBatch, Source, TextBatch

Gather = Callable[[Sequence[Tensor]], Source]


@dataclass(frozen=True)
class Example:
    """One example, ready for the model.

    Attributes:
        id: its number in its corpus.
        source: token ids (S,) int64, or what its modality has.
        target: token ids (T,) int64 without the begin and with the end token; None at prediction.
        source_text: the raw source (for other modalities its name).
        references: the raw targets.
    """

    id: int
    source: Tensor
    target: Tensor | None
    source_text: str
    references: tuple[str, ...] = ()


def pad_tokens(rows: Sequence[Tensor], pad: int) -> TextBatch:
    """Puts token ids of B rows into one table (B, longest)."""
    return TextBatch(pad_sequence(list(rows), batch_first=True, padding_value=pad), _lengths(rows))


def pad_audio(rows: Sequence[Tensor]) -> AudioBatch:
    """Puts the samples of B sounds into one table (B, longest), zeros behind the shorter ones."""
    return AudioBatch(pad_sequence(list(rows), batch_first=True), _lengths(rows))


def pad_frames(rows: Sequence[Tensor]) -> FrameBatch:
    """Puts the features of B sources, each (S, F), into one table (B, longest, F), zeros behind the shorter ones."""
    return FrameBatch(pad_sequence(list(rows), batch_first=True), _lengths(rows))


def stack_images(rows: Sequence[Tensor]) -> ImageBatch:
    """Puts B images of one size, each (C, H, W), into one table."""
    height, width = rows[0].shape[1:]
    return ImageBatch(torch.stack(list(rows)), torch.full((len(rows),), height * width, dtype=torch.int64))


def collate(examples: Sequence[Example], gather: Gather, pad: int) -> Seq2SeqBatch:
    """Makes a batch of examples, of which all or none have a target.

    Args:
        examples: B of them.
        gather: makes one table of their sources.
        pad: the target's id of padding.
    """
    targets = [example.target for example in examples if example.target is not None]
    return Seq2SeqBatch(
        source=gather([example.source for example in examples]),
        target=pad_tokens(targets, pad) if targets else None,
        ids=tuple(example.id for example in examples),
        source_texts=tuple(example.source_text for example in examples),
        references=tuple(example.references for example in examples) if targets else (),
    )


def _lengths(rows: Sequence[Tensor]) -> Tensor:
    return torch.tensor([len(row) for row in rows], dtype=torch.int64)

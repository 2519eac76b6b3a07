"""Typed batches: what the datamodules make and the modules consume.

Letters: B batch, S source length, T target length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from typing_extensions import Self


@dataclass(frozen=True)
class Source:
    """A padded source of any modality.

    Attributes:
        values: (B, S, ...), in the modality's own unit; what stands beyond an example's length is padding.
        lengths: (B,) int64, in the same unit.
    """

    values: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return self.values.size(0)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Returns a copy on the device."""
        return replace(
            self,
            values=self.values.to(device, non_blocking=non_blocking),
            lengths=self.lengths.to(device, non_blocking=non_blocking),
        )

    def pin_memory(self) -> Self:
        """Returns a copy in page-locked memory."""
        return replace(self, values=self.values.pin_memory(), lengths=self.lengths.pin_memory())

    def select(self, rows: Tensor) -> Self:
        """Returns the examples of those rows (N,), cut to the longest of them."""
        lengths = self.lengths[rows]
        size = int(lengths.max()) if lengths.numel() else 0
        return replace(self, values=self.values[rows, :size], lengths=lengths)


@dataclass(frozen=True)
class TextBatch(Source):
    """Token ids: values (B, S) int64, lengths in tokens.

    Attributes:
        segments: (B, S) int64, the part of its source that a token belongs to: 0 for a question, n for the n-th
            sentence of what it is asked about; None where a source has one part.
    """

    segments: Tensor | None = None

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Returns a copy on the device."""
        segments = None if self.segments is None else self.segments.to(device, non_blocking=non_blocking)
        return replace(super().to(device, non_blocking), segments=segments)

    def pin_memory(self) -> Self:
        """Returns a copy in page-locked memory."""
        return replace(super().pin_memory(), segments=None if self.segments is None else self.segments.pin_memory())

    def select(self, rows: Tensor) -> Self:
        """Returns the examples of those rows (N,), cut to the longest of them."""
        chosen = super().select(rows)
        segments = None if self.segments is None else self.segments[rows, : chosen.values.size(1)]
        return replace(chosen, segments=segments)


@dataclass(frozen=True, kw_only=True)
class ExtendedTextBatch(TextBatch):
    """Token ids, and those that the source's own words have: words that the vocabulary of V types lacks.

    Attributes:
        extended: (B, S) int64, the values, but with ids from V on where these have the unknown token: V + n for the
            n-th own word of its source.
        own_words: the own words of each source, by the ids that the tokenizer gave them.
    """

    extended: Tensor
    own_words: tuple[tuple[int, ...], ...]

    @property
    def extra_types(self) -> int:
        """How many own words the richest source has."""
        return max(map(len, self.own_words), default=0)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Returns a copy on the device."""
        return replace(super().to(device, non_blocking), extended=self.extended.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """Returns a copy in page-locked memory."""
        return replace(super().pin_memory(), extended=self.extended.pin_memory())

    def select(self, rows: Tensor) -> Self:
        """Returns the examples of those rows (N,), cut to the longest of them."""
        chosen = super().select(rows)
        own_words = tuple(self.own_words[row] for row in rows.tolist())
        return replace(chosen, extended=self.extended[rows, : chosen.values.size(1)], own_words=own_words)


@dataclass(frozen=True)
class AudioBatch(Source):
    """Sound: values (B, S) float32, mono samples in [-1, 1] at the model's sample rate, lengths in samples."""


@dataclass(frozen=True)
class FrameBatch(Source):
    """Features: values (B, S, F) float32, F a frame of sound or a cell of an image's grid, lengths in frames."""


@dataclass(frozen=True)
class ImageBatch(Source):
    """Images of one size: values (B, C, H, W) float32, lengths H * W for each: nothing of an image is padding."""

    def select(self, rows: Tensor) -> Self:
        """Returns the images of those rows (N,)."""
        return replace(self, values=self.values[rows], lengths=self.lengths[rows])


@dataclass(frozen=True)
class Seq2SeqBatch:
    """A batch of examples for any task.

    Attributes:
        source: B padded sources.
        target: token ids (B, T) without the begin and with the end token, lengths counting it; None at prediction.
        ids: the example's number in its corpus, B of them: metrics drop duplicates by it.
        source_texts: the raw sources, for samples and reports (for other modalities their names).
        references: the raw target texts, one or more for each example; empty at prediction.
        counts: False where it only stands in for the examples that this rank hasn't got: it weighs nothing.
    """

    source: Source
    target: TextBatch | None
    ids: tuple[int, ...]
    source_texts: tuple[str, ...] = ()
    references: tuple[tuple[str, ...], ...] = ()
    counts: bool = True

    def __len__(self) -> int:
        return len(self.source)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Returns a copy with its tensors on the device."""
        target = None if self.target is None else self.target.to(device, non_blocking)
        return replace(self, source=self.source.to(device, non_blocking), target=target)

    def pin_memory(self) -> Self:
        """Returns a copy with its tensors in page-locked memory."""
        target = None if self.target is None else self.target.pin_memory()
        return replace(self, source=self.source.pin_memory(), target=target)


def shift_right(target: Tensor, begin: int) -> Tensor:
    """Makes the decoder's input of teacher forcing: target (B, T) to (B, T), begin token first, last token dropped."""
    return torch.cat([target.new_full((target.size(0), 1), begin), target[:, :-1]], dim=1)

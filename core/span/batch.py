"""Batches of questions and the windows that they are asked of.

Letters: B windows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from typing_extensions import Self

from core.batch import Seq2SeqBatch
from core.span.passage import Window


@dataclass(frozen=True)
class SpanBatch(Seq2SeqBatch):
    """A batch of windows. `ids` are the questions' numbers: those of one question have the same.

    Attributes:
        spans: (B, 2) int64, the first and the last token of the answer within the source; both 0, the begin token's
            place, where it isn't there. None at prediction.
        windows: where the sources come from, B of them.
    """

    spans: Tensor | None = None
    windows: tuple[Window, ...] = ()

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Self:
        """Returns a copy with its tensors on the device."""
        spans = None if self.spans is None else self.spans.to(device, non_blocking=non_blocking)
        return replace(super().to(device, non_blocking), spans=spans)

    def pin_memory(self) -> Self:
        """Returns a copy with its tensors in page-locked memory."""
        return replace(super().pin_memory(), spans=None if self.spans is None else self.spans.pin_memory())

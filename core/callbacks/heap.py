"""Memory that the C library keeps for itself, given back."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

EVERY = 200  # batches: what is given back must be asked for again


class TrimmedHeap(Callback):
    """Gives memory that is free but kept back to the system from time to time, where glibc is the C library.

    Batches of many shapes leave glibc's heap in pieces that fit none of the next: fine-tuning a BERT of six layers on a
    processor had 3.2 GB after 25 updates, of which 1.3 were in use, and 9.7 after 2,000. Other C libraries are left
    alone.
    """

    def __init__(self) -> None:
        self.trim: Any = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Does so after each `EVERY` batches of an epoch."""
        if self.trim is not None and (batch_idx + 1) % EVERY == 0:
            self.trim(0)

"""Errors of PyTorch that are a user's to mend, in one line that says how."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from core.batch import Seq2SeqBatch
from core.errors import CheckpointError, PolyseqError

# What allocators say: CUDA's, the CPU's, cuBLAS's and cuDNN's.
SAID = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


class MemoryShortageError(PolyseqError):
    """The memory is too small for a batch."""


@contextmanager
def one_line_for_other_weights() -> Iterator[None]:
    """Weights that don't fit the model are the user's mix-up of options, not a bug."""
    try:
        yield
    except RuntimeError as error:
        if "loading state_dict" not in str(error):
            raise
        raise CheckpointError(
            "the checkpoint's weights don't fit the model that the options describe; leave model options out, as "
            "--ckpt_path carries its own, or give those of the run that --fit.weights is of"
            f" ({' '.join(str(error).split())[:300]})"
        ) from error


@contextmanager
def one_line_for_too_little_memory(batch: Callable[[], str]) -> Iterator[None]:
    """Says which batch the memory was too small for, and what to lower.

    Args:
        batch: tells of the batch that was at work, and of its option.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = re.sub(
            r"^\[enforce fail[^]]*\][^.]*\. ", "", next(iter(str(error).splitlines()), type(error).__name__)
        )
        raise MemoryShortageError(f"out of memory {batch()} ({reason[:120]})") from error


@contextmanager
def one_line_for(explain: Callable[[RuntimeError], PolyseqError | None]) -> Iterator[None]:
    """Raises what is said of an error in its place, if anything is."""
    try:
        yield
    except RuntimeError as error:
        told = explain(error)
        if told is None:
            raise
        raise told from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory was asked for that there isn't, of a GPU or of the machine."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words.lower() in str(error).lower() for words in SAID)


def shape_of(batch: Seq2SeqBatch) -> str:
    """A batch's size in words: "a batch of 8 examples, source (8, 120), target (8, 97)"."""
    target = "" if batch.target is None else f", target {tuple(batch.target.values.shape)}"
    return f"a batch of {len(batch)} examples, source {tuple(batch.source.values.shape)}{target}"

"""What a corpus is: pairs of a source and one or more targets, read by split."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import ConfigError

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class TextPair:
    """One example of a text-to-text corpus.

    Attributes:
        id: its number in its split, from 0 in the order of the file.
        source: the raw source text.
        targets: the raw target texts, the first of which is learnt; the others are further references.
    """

    id: int
    source: str
    targets: tuple[str, ...]


class Corpus(ABC):
    """A source of text pairs. Choose one in YAML by its class name: `data.corpus: AlignedText`."""

    @abstractmethod
    def read(self, split: Split) -> list[TextPair]:
        """Reads one split, whole, in the order of its file; ids count from 0.

        Raises:
            DataError: the data is missing or can't be used; with file and line.
        """


class SplitCorpus(Corpus):
    """A corpus whose validation split may be cut out of its training split.

    Args:
        held_out: share of the training pairs that is kept for validation (`hold_out`); 0 reads a split of its own.

    Raises:
        ConfigError: the share is out of its range.
    """

    def __init__(self, held_out: float = 0.0) -> None:
        if not 0 <= held_out < 1:
            raise ConfigError(f"data.corpus.held_out must be in [0, 1), got {held_out}")
        self.held_out = held_out

    @abstractmethod
    def read_split(self, split: Split) -> list[TextPair]:
        """Reads a split as it is stored."""

    def read(self, split: Split) -> list[TextPair]:
        """Reads one split, whole, in the order of its file."""
        if split == "test" or not self.held_out:
            return self.read_split(split)
        return hold_out(self.read_split("train"), self.held_out, held_out=split == "val")


def hold_out(pairs: Sequence[TextPair], share: float, held_out: bool) -> list[TextPair]:
    """Divides one file into training and validation pairs, always in the same way.

    A pair's side follows from a hash of its source, so that pairs with the same source stay together.

    Args:
        pairs: all of the training file's.
        share: how much of them is held out, between 0 and 1.
        held_out: return the pairs that are held out (for validation) instead of the others.
    """

    def chosen(text: str) -> bool:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") < share * 2**64

    return [pair for pair in pairs if chosen(pair.source) == held_out]


def numbered(sources: Iterable[str], targets: Iterable[str | tuple[str, ...]]) -> list[TextPair]:
    """Makes pairs of texts in the same order: a target is one text, or several references."""
    pairs = zip(sources, targets, strict=True)
    return [
        TextPair(row, source, (target,) if isinstance(target, str) else target)
        for row, (source, target) in enumerate(pairs)
    ]


def split_path(paths: Mapping[Split, Path | None], split: Split) -> Path:
    """The file of a split.

    Raises:
        ConfigError: the corpus wasn't given one.
    """
    path = paths[split]
    if path is None:
        mend = (
            "data.corpus.val, or data.corpus.held_out, a share of the training pairs"
            if split == "val"
            else f"data.corpus.{split}"
        )
        raise ConfigError(f"the corpus has no {split} split: set {mend}")
    return path

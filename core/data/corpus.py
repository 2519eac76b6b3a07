"""What a corpus is: pairs of a source and one or more targets, read by split."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

    def iterate(self, split: Split) -> Iterator[TextPair]:
        """Reads the same pairs one by one: a corpus of files doesn't have more than one of them in memory for it.

        Raises:
            DataError: as `read` does, but only when it comes to where it is.
        """
        yield from self.read(split)

    def files(self, split: Split) -> tuple[Path, ...]:
        """What a split is read from, where its pairs follow from these files and the corpus's attributes alone.

        Where it is empty, the pairs are kept in memory; else they are copied once to where they can be mapped from.
        """
        return ()


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
    def iterate_split(self, split: Split) -> Iterator[TextPair]:
        """Reads a split as it is stored, pair by pair."""

    def iterate(self, split: Split) -> Iterator[TextPair]:
        """Reads one split in the order of its file, pair by pair."""
        pairs = self.iterate_split(self.stored_in(split))
        if split == "test" or not self.held_out:
            return pairs
        return (pair for pair in pairs if is_held_out(pair.source, self.held_out) == (split == "val"))

    def read(self, split: Split) -> list[TextPair]:
        """Reads one split, whole, in the order of its file."""
        return list(self.iterate(split))

    def stored_in(self, split: Split) -> Split:
        """The split in whose files the pairs of one are."""
        return "train" if split == "val" and self.held_out else split


def is_held_out(source: str, share: float) -> bool:
    """Whether a pair is among those that are held out for validation: follows from a hash of its source."""
    digest = hashlib.sha256(source.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def hold_out(pairs: Sequence[TextPair], share: float, held_out: bool) -> list[TextPair]:
    """Divides one file into training and validation pairs, always in the same way.

    A pair's side follows from a hash of its source, so that pairs with the same source stay together.

    Args:
        pairs: all of the training file's.
        share: how much of them is held out, between 0 and 1.
        held_out: return the pairs that are held out (for validation) instead of the others.
    """
    return [pair for pair in pairs if is_held_out(pair.source, share) == held_out]


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


def spread_references(pairs: Iterable[TextPair]) -> Iterator[TextPair]:
    """Makes one training pair of each source and each of its targets, numbered anew."""
    spread = ((pair.source, target) for pair in pairs for target in pair.targets)
    return (TextPair(index, source, (target,)) for index, (source, target) in enumerate(spread))

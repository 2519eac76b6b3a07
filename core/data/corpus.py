"""What a corpus is: pairs of a source and one or more targets, read by split."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
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


def hold_out(pairs: Sequence[TextPair], share: float, held_out: bool) -> list[TextPair]:
    """Divides one file into training and validation pairs, always in the same way.

    A pair's side follows from a hash of its source, so that pairs with the same source stay together.

    Args:
        pairs: all of the training file's.
        share: how much of them is held out, between 0 and 1.
        held_out: return the pairs that are held out (for validation) instead of the others.
    """
    if not 0 <= share < 1:
        raise ConfigError(f"data.corpus.held_out must be in [0, 1), got {share}")

    def chosen(text: str) -> bool:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") < share * 2**64

    return [pair for pair in pairs if chosen(pair.source) == held_out]

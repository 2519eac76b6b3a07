"""What all trained tokenizers share: a list of pieces, each a string of bytes, and a fast way of cutting text."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import Self

from core.tokenization.base import Specials
from core.tokenization.options import TokenizerOptions

if TYPE_CHECKING:
    from tokenizers import Encoding
    from tokenizers import Tokenizer as Backend

# Names that no text can spell: pieces never hold two spaces, so a literal "<eos>" in the input stays text.
SPECIAL_NAMES = ("  pad", "  bos", "  eos", "  unk")


class TrainedTokenizer(ABC):
    """A tokenizer that was learnt from text.

    Subclasses say how it is learnt (`train`), how text is cut (`backend`), and what bytes a piece stands for.

    Args:
        options: what it was trained with; its normalisation stays in force.
        pieces: the types beyond the specials and the options' symbols, in the order of their ids.
    """

    kind: ClassVar[str]
    prefix: ClassVar[str] = " "  # so that a word at the beginning is the same type as after a space
    unknown: ClassVar[str] = "⁇"

    def __init__(self, options: TokenizerOptions, pieces: Sequence[str]) -> None:
        self.options = options
        self.specials = Specials()
        self.pieces = tuple(pieces)

    @classmethod
    @abstractmethod
    def train(cls, texts: Iterable[str], options: TokenizerOptions) -> Self:
        """Learns a tokenizer from normalised, prefixed texts: the same texts give the same tokenizer."""

    @classmethod
    @abstractmethod
    def from_state(cls, state: dict[str, str], options: TokenizerOptions) -> Self:
        """Builds the tokenizer that gave this state."""

    @abstractmethod
    def backend(self) -> Backend:
        """Makes what cuts normalised, prefixed text into ids."""

    def piece_bytes(self, piece: str) -> bytes:
        """The text that a piece stands for, in UTF-8."""
        return piece.encode("utf-8")

    @cached_property
    def _backend(self) -> Backend:
        backend = self.backend()
        if self.options.symbols:
            from tokenizers import AddedToken

            backend.add_tokens([AddedToken(symbol, lstrip=True, normalized=False) for symbol in self.options.symbols])
        return backend

    @cached_property
    def _bytes(self) -> list[bytes]:
        specials = [b""] * len(SPECIAL_NAMES)
        specials[self.specials.unk] = self.unknown.encode("utf-8")
        symbols = (f" {symbol}".encode() for symbol in self.options.symbols)  # they take the space before them
        return [*specials, *symbols, *map(self.piece_bytes, self.pieces)]

    @property
    def names(self) -> tuple[str, ...]:
        """The types that aren't learnt: the specials, then the symbols."""
        return (*SPECIAL_NAMES, *self.options.symbols)

    @property
    def vocabulary(self) -> dict[str, int]:
        """Each piece's id, specials first."""
        return {piece: index for index, piece in enumerate((*self.names, *self.pieces))}

    def __len__(self) -> int:
        return len(self.names) + len(self.pieces)

    @property
    def open_types(self) -> int | None:
        """The number of types, where words that aren't types have ids from there on; None where they are unknown."""
        return len(self) if self.options.own_words else None

    def symbol_id(self, symbol: str) -> int:
        """The id of one of the options' symbols."""
        return len(SPECIAL_NAMES) + self.options.symbols.index(symbol)

    def normalise(self, text: str) -> str:
        """What encode does to a text before it cuts it (see `TokenizerOptions`)."""
        return self.options.normalise(text)

    def prepare(self, text: str) -> str:
        """Normalises a text and puts the prefix before it, unless nothing is left of it."""
        text = self.normalise(text)
        return self.prefix + text if text else ""

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without begin and end token; empty for an empty text."""
        ids: list[int] = self._backend.encode(self.prepare(text)).ids
        return ids

    def cut(self, normalised: str) -> Encoding:
        """What tokenizers makes of a text that is normalised already: ids, and offsets that count the prefix too."""
        return self._backend.encode(self.prefix + normalised)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts, in parallel where there are processors for it."""
        encodings = self._backend.encode_batch_fast([self.prepare(text) for text in texts])
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; specials are left out, unknown tokens become "⁇" and broken UTF-8 becomes U+FFFD."""
        text = b"".join([self._bytes[index] for index in ids]).decode("utf-8", "replace")
        return text.removeprefix(self.prefix or (" " if self.options.symbols else ""))

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Each id as readable text, for pictures and reports."""
        return [
            SPECIAL_NAMES[index].strip()
            if index < len(SPECIAL_NAMES)
            else self._bytes[index].decode("utf-8", "replace")
            for index in ids
        ]

    def state(self) -> dict[str, str]:
        """All of it as plain data, from which `load_tokenizer` makes it again."""
        return {
            "kind": self.kind,
            "options": json.dumps(self.options.plain(), sort_keys=True),
            "pieces": json.dumps(self.pieces, ensure_ascii=False),
        }

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that differ between tokenizers that cut differently."""
        return hashlib.sha256(json.dumps(self.state(), sort_keys=True).encode()).hexdigest()[:12]

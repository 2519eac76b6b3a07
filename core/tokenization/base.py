"""What the rest of the core knows of a tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Specials:
    """The ids of the tokens that aren't text."""

    pad: int = 0
    bos: int = 1
    eos: int = 2
    unk: int = 3


class Tokenizer(Protocol):
    """Text to ids and back: decode(encode(x)) == normalise(x) for text made of known characters."""

    specials: Specials

    def __len__(self) -> int:
        """The number of types V, specials included."""
        ...

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without begin and end token; empty for an empty text."""
        ...

    def decode(self, ids: list[int]) -> str:
        """The text of ids; specials are left out, and unknown tokens become "⁇"."""
        ...

    def normalise(self, text: str) -> str:
        """What encode does to a text before it cuts it: Unicode NFC, white space collapsed, ... ."""
        ...

    def state(self) -> dict[str, str]:
        """All of it as plain data: `kind`, and what that kind needs; goes into checkpoints (`weights_only=True`)."""
        ...

"""How to make a tokenizer, and how text is normalised before it is cut."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Literal

from core.errors import ConfigError

Kind = Literal["bpe", "unigram", "characters", "words"]
UnicodeForm = Literal["NFC", "NFKC", "none"]

LEAST_BYTE_LEVEL = 260  # the 256 bytes and the specials: what every text can be written with


@dataclass(frozen=True)
class TokenizerOptions:
    """How to train a tokenizer. Contradicting options raise at construction.

    Attributes:
        kind: byte-pair encoding (Sennrich et al. 2016), unigram language model (Kudo 2018), characters, or words.
            The first two are built from bytes and can write any text; the others know an unknown token.
        vocab_size: the most types, specials included. A small text gives fewer.
        min_frequency: how often a merge, character or word must occur to become a type (unigram: not used).
        joint: one vocabulary for source and target; False gives each side its own, of this size.
        lowercase: write everything in lower case.
        unicode_form: Unicode normal form; "none" leaves the text as it is.
        collapse_whitespace: make any run of white space one space, and drop it at both ends.
    """

    kind: Kind = "bpe"
    vocab_size: int = 8000
    min_frequency: int = 2
    joint: bool = True
    lowercase: bool = False
    unicode_form: UnicodeForm = "NFC"
    collapse_whitespace: bool = True

    def __post_init__(self) -> None:
        least = LEAST_BYTE_LEVEL if self.kind in ("bpe", "unigram") else 5
        if self.vocab_size < least:
            raise ConfigError(
                f"tokenizer.vocab_size must be at least {least} for kind {self.kind!r}, got {self.vocab_size}"
            )
        if self.min_frequency < 1:
            raise ConfigError(f"tokenizer.min_frequency must be at least 1, got {self.min_frequency}")

    def normalise(self, text: str) -> str:
        """Applies the normal form, lower case and white space of these options; lone surrogates become U+FFFD."""
        if not text.isascii():
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if self.lowercase:
            text = text.lower()
        if self.unicode_form != "none":
            text = unicodedata.normalize(self.unicode_form, text)
        return " ".join(text.split()) if self.collapse_whitespace else text

"""How to make a tokenizer, and how text is normalised before it is cut."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import asdict, dataclass
from typing import Any, Literal

from typing_extensions import Self

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
        symbols: pieces that are one type wherever they stand in a text, as "<user>" before a turn. They are never cut,
            nothing is learnt across them, and there is one space between them and what is beside them.
    """

    kind: Kind = "bpe"
    vocab_size: int = 8000
    min_frequency: int = 2
    joint: bool = True
    lowercase: bool = False
    unicode_form: UnicodeForm = "NFC"
    collapse_whitespace: bool = True
    symbols: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        least = LEAST_BYTE_LEVEL if self.kind in ("bpe", "unigram") else 5
        if self.vocab_size < least:
            raise ConfigError(
                f"tokenizer.vocab_size must be at least {least} for kind {self.kind!r}, got {self.vocab_size}"
            )
        if self.min_frequency < 1:
            raise ConfigError(f"tokenizer.min_frequency must be at least 1, got {self.min_frequency}")
        self._check_symbols()

    def _check_symbols(self) -> None:
        if self.symbols and not self.collapse_whitespace:
            raise ConfigError("tokenizer.symbols needs collapse_whitespace=true: they stand between single spaces")
        for symbol in self.symbols:
            if not symbol or symbol.split() != [symbol] or symbol != self._letters(symbol):
                raise ConfigError(
                    f"tokenizer.symbols has {symbol!r}: a symbol has no white space, and is written as `lowercase` and "
                    "`unicode_form` leave it"
                )
            if sum(symbol in other for other in self.symbols) > 1:
                raise ConfigError(f"tokenizer.symbols has {symbol!r} twice, or inside another: rename or remove one")

    def plain(self) -> dict[str, Any]:
        """These options as plain data; without symbols it is what it was before there were any."""
        options = asdict(self)
        symbols = options.pop("symbols")
        return options | {"symbols": list(symbols)} if symbols else options

    @classmethod
    def from_plain(cls, options: dict[str, Any]) -> Self:
        """Makes the options that gave this plain data."""
        return cls(**options | {"symbols": tuple(options.get("symbols", ()))})

    def parts(self, text: str) -> list[str]:
        """A normalised text as its symbols and what is between them, without the spaces around symbols."""
        if not self.symbols:
            return [text] if text else []
        return [part.strip() for part in re.split(f"({self._any_symbol})", text) if part.strip()]

    @property
    def _any_symbol(self) -> str:
        return "|".join(map(re.escape, self.symbols))

    def normalise(self, text: str) -> str:
        """Applies the normal form, lower case and white space of these options; lone surrogates become U+FFFD."""
        text = self._letters(text)
        if self.symbols:
            text = re.sub(self._any_symbol, lambda found: f" {found[0]} ", text)
        return " ".join(text.split()) if self.collapse_whitespace else text

    def _letters(self, text: str) -> str:
        if not text.isascii():
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if self.lowercase:
            text = text.lower()
        return text if self.unicode_form == "none" else unicodedata.normalize(self.unicode_form, text)

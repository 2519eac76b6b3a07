"""How to make a tokenizer, and how text is normalised before it is cut."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from typing_extensions import Self

from core.errors import ConfigError

Kind = Literal["bpe", "unigram", "characters", "words", "pretrained"]
UnicodeForm = Literal["NFC", "NFKC", "none"]

LEAST_BYTE_LEVEL = 260  # the 256 bytes and the specials: what every text can be written with


@dataclass(frozen=True)
class TokenizerOptions:
    """How to train a tokenizer. Contradicting options raise at construction.

    Attributes:
        kind: byte-pair encoding (Sennrich et al. 2016), unigram language model (Kudo 2018), characters, or words.
            The first two are built from bytes and can write any text; the others know an unknown token. Or
            "pretrained": not trained, but read from `path`.
        vocab_size: the most types, specials included. A small text gives fewer.
        min_frequency: how often a merge, character or word must occur to become a type (unigram: not used).
        joint: one vocabulary for source and target; False gives each side its own, of this size.
        lowercase: write everything in lower case.
        unicode_form: Unicode normal form; "none" leaves the text as it is.
        collapse_whitespace: make any run of white space one space, and drop it at both ends.
        symbols: pieces that are one type wherever they stand in a text, as "<user>" before a turn. They are never cut,
            nothing is learnt across them, and there is one space between them and what is beside them.
        own_words: words that aren't types can be copied from the source, where they stand there (See et al. 2017); for
            kind "words" and one vocabulary, with `model.decoder.copy`.
        path: a folder or hub id with a tokenizer of transformers, or package:NAME/FOLDER; for kind "pretrained".
        source_path: the same for the source alone, beside a target whose tokenizer is trained as these options say.
    """

    kind: Kind = "bpe"
    vocab_size: int = 8000
    min_frequency: int = 2
    joint: bool = True
    lowercase: bool = False
    unicode_form: UnicodeForm = "NFC"
    collapse_whitespace: bool = True
    symbols: tuple[str, ...] = ()
    own_words: bool = False
    path: str | None = None
    source_path: str | None = None

    def __post_init__(self) -> None:
        least = LEAST_BYTE_LEVEL if self.kind in ("bpe", "unigram") else 5
        if self.vocab_size < least:
            raise ConfigError(
                f"tokenizer.vocab_size must be at least {least} for kind {self.kind!r}, got {self.vocab_size}"
            )
        if self.min_frequency < 1:
            raise ConfigError(f"tokenizer.min_frequency must be at least 1, got {self.min_frequency}")
        if self.own_words and (self.kind != "words" or not self.joint):
            raise ConfigError(
                f"tokenizer.own_words needs kind words and joint=true, got kind {self.kind!r} and joint={self.joint}: "
                "subwords can write any word, so set it to false for them"
            )
        self._check_symbols()
        self._check_paths()

    def _check_paths(self) -> None:
        if (self.kind == "pretrained") != (self.path is not None):
            raise ConfigError(
                f"tokenizer.kind is {self.kind!r} and tokenizer.path is {self.path!r}: kind pretrained and a path "
                "belong together"
            )
        if self.source_path is not None and (self.joint or self.kind == "pretrained"):
            raise ConfigError(
                "tokenizer.source_path gives the source a vocabulary of its own beside a target's that is trained: set "
                f"joint to false (it is {self.joint}) and kind to one that can be trained (it is {self.kind!r})"
            )

    def sides(self) -> tuple[TokenizerOptions, TokenizerOptions]:
        """The options of the source's tokenizer and of the target's, where each has its own."""
        target = replace(self, source_path=None)
        if self.source_path is None:
            return target, target
        return replace(self, kind="pretrained", path=self.source_path, source_path=None), target

    def wherever(self) -> TokenizerOptions:
        """What of a pretrained tokenizer's options changes how it cuts; its path doesn't."""
        return TokenizerOptions(
            kind="pretrained",
            lowercase=self.lowercase,
            unicode_form=self.unicode_form,
            collapse_whitespace=self.collapse_whitespace,
            symbols=self.symbols,
            path="",
        )

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
        """These options as plain data; without symbols, paths and own words it is what it was before there were any."""
        options = {name: value for name, value in asdict(self).items() if value is not None}
        if not self.own_words:
            del options["own_words"]
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

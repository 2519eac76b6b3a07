"""What recognised speech and its reference go through before they are compared: named, so that a score can say it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import Literal, get_args

from core.errors import ConfigError, did_you_mean

NormaliserName = Literal["none", "lower", "lower_no_punctuation", "whisper_english"]


@dataclass(frozen=True)
class Normaliser:
    """A way of writing text, so that only what was heard is scored and not how it is spelt.

    Attributes:
        signature: its name and, where a package does it, that package's version and options.
        apply: text to text; runs of white space are one space, and there is none at either end.
    """

    signature: str
    apply: Callable[[str], str]


@cache
def make_normaliser(name: NormaliserName) -> Normaliser:
    """Makes the normaliser of a name.

    Args:
        name: what it does:
            none: nothing but the white space, as all of them.
            lower: lower case, in Unicode's NFC; punctuation stays, and counts as part of its word.
            lower_no_punctuation: lower case in NFKC; punctuation and symbols become spaces, but for apostrophes
                between letters or digits ("don't", whichever apostrophe it is).
            whisper_english: Whisper's English one (Radford et al. 2023, appendix C) out of transformers: drops what
                stands in brackets and fillers ("uh"), opens contractions, writes numbers in digits. Its mapping from
                British to American spelling doesn't ship in the package, so spelling stays: numbers may differ a
                little from those of papers that have it.

    Raises:
        ConfigError: there is no normaliser of that name.
    """
    if name == "none":
        return Normaliser(name, _collapse)
    if name == "lower":
        return Normaliser(name, _lower)
    if name == "lower_no_punctuation":
        return Normaliser(name, _lower_no_punctuation)
    if name == "whisper_english":
        return _whisper_english()
    known = get_args(NormaliserName)
    raise ConfigError(
        f"metrics.normaliser must be one of {', '.join(known)}, got {name!r}{did_you_mean(str(name), known)}"
    )


def _whisper_english() -> Normaliser:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    whisper = EnglishTextNormalizer({})
    signature = f"whisper_english|transformers:{version('transformers')}|spelling:unmapped"
    return Normaliser(signature, lambda text: _collapse(whisper(text)))


def _collapse(text: str) -> str:
    return " ".join(text.split())


def _lower(text: str) -> str:
    return _collapse(unicodedata.normalize("NFC", text.lower()))


def _lower_no_punctuation(text: str) -> str:
    text = unicodedata.normalize("NFKC", text.lower()).replace("’", "'")
    kept = (letter if _is_text(text, place) else " " for place, letter in enumerate(text))
    return _collapse("".join(kept))


def _is_text(text: str, place: int) -> bool:
    """Whether the character at a place is neither punctuation nor a symbol, or is an apostrophe within a word."""
    if text[place] == "'":
        return text[place - 1 : place].isalnum() and text[place + 1 : place + 2].isalnum()
    return unicodedata.category(text[place])[0] not in "PS"

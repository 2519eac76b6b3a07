"""Characters and words: closed vocabularies with an unknown token."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import Self

from core.tokenization.options import TokenizerOptions
from core.tokenization.trained import SPECIAL_NAMES, TrainedTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend


class SymbolTokenizer(TrainedTokenizer):
    """Looks each match of a pattern up in a vocabulary of the most frequent ones."""

    pattern: ClassVar[str]

    @classmethod
    def _cutter(cls, vocabulary: dict[str, int]) -> Backend:
        from tokenizers import Regex
        from tokenizers import Tokenizer as Backend
        from tokenizers.models import WordLevel
        from tokenizers.pre_tokenizers import Split

        backend = Backend(WordLevel(vocabulary, unk_token=SPECIAL_NAMES[3]))
        backend.pre_tokenizer = Split(Regex(cls.pattern), "isolated")
        return backend

    @classmethod
    def train(cls, texts: Iterable[str], options: TokenizerOptions) -> Self:
        """Takes the most frequent symbols; those that occur equally often in the order of their characters."""
        from tokenizers.trainers import WordLevelTrainer

        backend = cls._cutter({SPECIAL_NAMES[3]: 0})
        trainer = WordLevelTrainer(
            vocab_size=options.vocab_size - len(SPECIAL_NAMES) - len(options.symbols),
            min_frequency=options.min_frequency,
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
        vocabulary: dict[str, int] = json.loads(backend.to_str())["model"]["vocab"]
        return cls(options, sorted(vocabulary, key=vocabulary.__getitem__))

    @classmethod
    def from_state(cls, state: dict[str, str], options: TokenizerOptions) -> Self:
        """Builds the tokenizer that gave this state."""
        return cls(options, json.loads(state["pieces"]))

    def backend(self) -> Backend:
        """Makes what cuts text into ids."""
        return self._cutter(self.vocabulary)


class CharacterTokenizer(SymbolTokenizer):
    """Each Unicode code point, the space too, is a token."""

    kind: ClassVar[str] = "characters"
    prefix: ClassVar[str] = ""
    pattern: ClassVar[str] = r"(?m:.)"  # Oniguruma's m: a dot matches a line feed too


class WordTokenizer(SymbolTokenizer):
    """Words (letters, marks, digits) and single punctuation signs, each with the space before it, if there is one.

    With `own_words` a word that isn't a type has an id all the same: from V on, in the order in which this tokenizer
    has met them since it was made. They belong to no checkpoint; `core.data.own_words` makes types of them, by source.
    """

    kind: ClassVar[str] = "words"
    unknown: ClassVar[str] = " ⁇"
    pattern: ClassVar[str] = r" ?[\p{L}\p{M}\p{N}_]+| ?[^\s\p{L}\p{M}\p{N}_]|\s"

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without begin and end token; empty for an empty text."""
        return self.encode_batch([text])[0] if self.options.own_words else super().encode(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts, in parallel where there are processors for it."""
        if not self.options.own_words:
            return super().encode_batch(texts)
        prepared = [self.prepare(text) for text in texts]
        return [
            [
                self._own_word(text[begin:end]) if index == self.specials.unk else index
                for index, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True)
            ]
            for text, encoding in zip(prepared, self._backend.encode_batch(prepared), strict=True)
        ]

    @cached_property
    def _own_words(self) -> dict[str, int]:
        return {}

    def _own_word(self, word: str) -> int:
        """The id of a word that isn't a type: a new one at its first time."""
        if word not in self._own_words:
            self._own_words[word] = len(self._bytes)
            self._bytes.append(self.piece_bytes(word))
        return self._own_words[word]

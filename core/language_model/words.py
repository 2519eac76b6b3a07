"""How tokens are spelt in an ARPA file, whose words have no white space in them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from core.language_model.ngrams import BEGIN
from core.tokenization import TrainedTokenizer

SPACE = "▁"  # as sentencepiece shows it
START, END, UNKNOWN = "<s>", "</s>", "<unk>"
ESCAPE = "\\"


class Spelling:
    r"""Gives each token that can be written a word of its own, and each word its token.

    A token is spelt as its piece, with ▁ for a space; one for which that is no word, or another token's already, by its
    number: \\57. The end token is </s>, the unknown one <unk>, and <s> stands for the beginning.

    Args:
        tokenizer: the target's.
    """

    def __init__(self, tokenizer: TrainedTokenizer) -> None:
        specials = tokenizer.specials
        self.eos, self.unk = specials.eos, specials.unk
        self._pieces = {token: piece for piece, token in tokenizer.vocabulary.items()}
        unwritable = {specials.pad, specials.bos} - {specials.eos, specials.unk}
        self.types = tuple(token for token in range(len(tokenizer)) if token not in unwritable)

    @cached_property
    def words(self) -> dict[int, str]:
        """The word of each token that can be written, and of the beginning."""
        words = {BEGIN: START, self.unk: UNKNOWN, self.eos: END}
        taken = set(words.values())
        for token in self.types:
            if token not in words:
                word = self._pieces.get(token, "").replace(" ", SPACE)
                if word in taken or word.startswith(ESCAPE) or word.split() != [word]:
                    word = f"{ESCAPE}{token}"
                words[token] = word
                taken.add(word)
        return words

    @cached_property
    def tokens(self) -> dict[str, int]:
        """The token of each word."""
        return {word: token for token, word in self.words.items()}

    def spell(self, tokens: Sequence[int]) -> str:
        """Words with spaces between."""
        return " ".join(self.words[token] for token in tokens)

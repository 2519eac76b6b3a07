"""BPE-dropout (Provilkov et al. 2020): the same word cut in many ways, as a noise that teaches its parts."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from core.tokenization.subwords import SubwordTokenizer


class MergeDropout:
    """Cuts words while leaving out merges at random.

    Each word has a fixed number of variants, made when they are first asked for: cheap, and a pure function of the
    word, the variant and the seed. (The `tokenizers` package has this dropout too, but can't be seeded.)

    Args:
        tokenizer: whose merges are left out.
        dropout: the probability p of leaving out a merge.
        seed: of the variants.
        variants: how many there are of each word.
    """

    def __init__(self, tokenizer: SubwordTokenizer, dropout: float, seed: int, variants: int = 64) -> None:
        self.tokenizer, self.dropout, self.seed, self.variants = tokenizer, dropout, seed, variants
        self._ranks = {pair: rank for rank, pair in enumerate(tokenizer.merges)}
        self._ids = tokenizer.vocabulary
        self._known: dict[tuple[str, int], tuple[int, ...]] = {}

    def words(self, text: str) -> list[str]:
        """What merges don't cross: the words of a text, in byte letters."""
        return self.tokenizer.words(text)

    def cut(self, word: str, variant: int) -> tuple[int, ...]:
        """The ids of a word's variant, 0 to variants - 1."""
        key = (word, variant)
        if key not in self._known:
            whole = word in self.tokenizer.options.symbols
            parts = [word] if whole else self._merge(list(word), Random(f"{self.seed} {variant} {word}"))
            self._known[key] = tuple(self._ids[part] for part in parts)
        return self._known[key]

    def _merge(self, parts: list[str], random: Random) -> list[str]:
        """Algorithm 1 of the paper: of the merges that aren't dropped this time, does the first one learnt."""
        while True:
            open_merges = [
                (self._ranks[pair], place)
                for place, pair in enumerate(pairwise(parts))
                if pair in self._ranks and random.random() >= self.dropout
            ]
            if not open_merges:
                return parts
            _, place = min(open_merges)
            parts[place : place + 2] = [parts[place] + parts[place + 1]]

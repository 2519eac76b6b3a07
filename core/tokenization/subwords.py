"""Subwords over bytes: any text can be written, and reading it back gives the same text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import Self

from core.tokenization.options import TokenizerOptions
from core.tokenization.trained import SPECIAL_NAMES, TrainedTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend
    from tokenizers.models import Model


@cache
def byte_letters() -> dict[str, int]:
    """The printable letter that stands for each byte in byte-level pieces (Radford et al. 2019, GPT-2)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + rank): byte for rank, byte in enumerate(others)}


def byte_level(model: Model) -> Backend:
    """Puts a model behind the cut into words and bytes."""
    from tokenizers import Tokenizer as Backend
    from tokenizers.pre_tokenizers import ByteLevel

    backend = Backend(model)
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=True)
    return backend


class ByteLevelTokenizer(TrainedTokenizer):
    """Pieces are runs of bytes within a word; a space belongs to the word after it."""

    def piece_bytes(self, piece: str) -> bytes:
        """The bytes of a piece, which may be a part of a character."""
        letters = byte_letters()
        return bytes([letters[letter] for letter in piece])


class SubwordTokenizer(ByteLevelTokenizer):
    """Byte-pair encoding (Sennrich et al. 2016) over bytes.

    Args:
        options: what it was trained with.
        pieces: the types beyond the specials, in the order of their ids.
        merges: pairs of pieces in the order in which they are joined.
    """

    kind: ClassVar[str] = "bpe"

    def __init__(self, options: TokenizerOptions, pieces: Sequence[str], merges: Sequence[Sequence[str]]) -> None:
        super().__init__(options, pieces)
        self.merges = [(left, right) for left, right in merges]

    @classmethod
    def train(cls, texts: Iterable[str], options: TokenizerOptions) -> Self:
        """Learns merges, the most frequent first."""
        from tokenizers.models import BPE
        from tokenizers.trainers import BpeTrainer

        backend = byte_level(BPE())
        trainer = BpeTrainer(
            vocab_size=options.vocab_size - len(SPECIAL_NAMES),
            min_frequency=options.min_frequency,
            initial_alphabet=sorted(byte_letters()),
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
        model = json.loads(backend.to_str())["model"]
        return cls(options, sorted(model["vocab"], key=model["vocab"].__getitem__), model["merges"])

    @classmethod
    def from_state(cls, state: dict[str, str], options: TokenizerOptions) -> Self:
        """Builds the tokenizer that gave this state."""
        return cls(options, json.loads(state["pieces"]), json.loads(state["merges"]))

    def backend(self) -> Backend:
        """Makes what cuts text into ids."""
        from tokenizers.models import BPE

        return byte_level(BPE(vocab=self.vocabulary, merges=self.merges))

    def state(self) -> dict[str, str]:
        """All of it as plain data."""
        return super().state() | {"merges": json.dumps(self.merges, ensure_ascii=False)}


class UnigramTokenizer(ByteLevelTokenizer):
    """The likeliest cut under a unigram language model of pieces (Kudo 2018), over bytes.

    Args:
        options: what it was trained with.
        pieces: the types beyond the specials, in the order of their ids.
        scores: each piece's log-probability.
    """

    kind: ClassVar[str] = "unigram"

    def __init__(self, options: TokenizerOptions, pieces: Sequence[str], scores: Sequence[float]) -> None:
        super().__init__(options, pieces)
        self.scores = tuple(scores)

    @classmethod
    def train(cls, texts: Iterable[str], options: TokenizerOptions) -> Self:
        """Learns pieces by expectation maximisation and pruning."""
        from tokenizers.models import Unigram
        from tokenizers.trainers import UnigramTrainer

        backend = byte_level(Unigram())
        unknown = SPECIAL_NAMES[3]
        trainer = UnigramTrainer(
            vocab_size=options.vocab_size - len(SPECIAL_NAMES) + 1,
            initial_alphabet=sorted(byte_letters()),
            special_tokens=[unknown],
            unk_token=unknown,
            show_progress=False,
        )
        backend.train_from_iterator(texts, trainer)
        # The trainer sums in an order that changes from run to run: beyond six digits its scores are noise.
        learnt = {piece: round(score, 6) for piece, score in json.loads(backend.to_str())["model"]["vocab"]}
        del learnt[unknown]
        ranked = sorted(learnt, key=lambda piece: (-learnt[piece], piece))
        return cls(options, ranked, [learnt[piece] for piece in ranked])

    @classmethod
    def from_state(cls, state: dict[str, str], options: TokenizerOptions) -> Self:
        """Builds the tokenizer that gave this state."""
        return cls(options, json.loads(state["pieces"]), json.loads(state["scores"]))

    def backend(self) -> Backend:
        """Makes what cuts text into ids."""
        from tokenizers.models import Unigram

        specials = [(name, 0.0) for name in SPECIAL_NAMES]
        vocabulary = [*specials, *zip(self.pieces, self.scores, strict=True)]
        return byte_level(Unigram(vocab=vocabulary, unk_id=self.specials.unk))

    def state(self) -> dict[str, str]:
        """All of it as plain data."""
        return super().state() | {"scores": json.dumps(self.scores)}

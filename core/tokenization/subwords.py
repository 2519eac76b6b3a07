"""Subwords over bytes: any text can be written, and reading it back gives the same text."""

from __future__ import annotations

import io
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
    from tokenizers.pre_tokenizers import PreTokenizer


@cache
def byte_letters() -> dict[str, int]:
    """The printable letter that stands for each byte in byte-level pieces (Radford et al. 2019, GPT-2)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + rank): byte for rank, byte in enumerate(others)}


def words_and_bytes() -> PreTokenizer:
    """Cuts text into words (GPT-2's pattern), and writes them in byte letters."""
    from tokenizers.pre_tokenizers import ByteLevel

    return ByteLevel(add_prefix_space=False, use_regex=True)


def byte_level(model: Model) -> Backend:
    """Puts a model behind the cut into words and bytes."""
    from tokenizers import Tokenizer as Backend

    backend = Backend(model)
    backend.pre_tokenizer = words_and_bytes()
    return backend


@cache
def _latin_letters() -> dict[int, str]:
    """How bytes are shown to sentencepiece: ASCII as it is, the others as Latin letters, which it keeps together.

    Then it cuts words into letters, digits and signs by itself, much as `words_and_bytes` does.
    """
    plain = {byte: chr(byte) for byte in range(ord(" "), 0x7F)}
    others = [byte for byte in range(256) if byte not in plain]
    return plain | {byte: chr(ord("Ā") + rank) for rank, byte in enumerate(others)}


def _for_sentencepiece(text: str) -> str:
    return text.encode("utf-8").decode("latin-1").translate(_latin_letters())


def _from_sentencepiece(piece: str) -> str:
    """The byte letters of a piece that it learnt."""
    bytes_of = {letter: byte for byte, letter in _latin_letters().items()} | {"▁": ord(" ")}
    letter_of = {byte: letter for letter, byte in byte_letters().items()}
    return "".join(letter_of[bytes_of[letter]] for letter in piece)


class ByteLevelTokenizer(TrainedTokenizer):
    """Pieces are runs of bytes within a word; a space belongs to the word after it."""

    def piece_bytes(self, piece: str) -> bytes:
        """The bytes of a piece, which may be a part of a character."""
        letters = byte_letters()
        return bytes([letters[letter] for letter in piece])

    def words(self, text: str) -> list[str]:
        """What no piece crosses: the words of a text with the space before them, in byte letters; symbols whole."""
        found: list[str] = []
        for part in self.options.parts(self.normalise(text)):
            if part in self.options.symbols:
                found.append(part)
            else:
                found += [word for word, _ in self._backend.pre_tokenizer.pre_tokenize_str(self.prefix + part)]
        return found


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
            vocab_size=options.vocab_size - len(SPECIAL_NAMES) - len(options.symbols),
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
        """Learns pieces by expectation maximisation and pruning.

        By sentencepiece, because what tokenizers' own trainer learns changes from run to run.
        """
        from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

        model = io.BytesIO()
        SentencePieceTrainer.train(
            sentence_iterator=map(_for_sentencepiece, texts),
            model_writer=model,
            model_type="unigram",
            vocab_size=options.vocab_size - len(SPECIAL_NAMES) - len(options.symbols) + 1,  # its unknown one goes away
            hard_vocab_limit=False,
            required_chars="".join(_latin_letters().values()).replace(" ", ""),
            character_coverage=1.0,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            max_sentence_length=1 << 24,
            num_threads=1,
            bos_id=-1,
            eos_id=-1,
            minloglevel=2,
        )
        trained = SentencePieceProcessor(model_proto=model.getvalue())
        known = [index for index in range(len(trained)) if not trained.is_unknown(index)]
        pieces = [_from_sentencepiece(trained.id_to_piece(index)) for index in known]
        return cls(options, pieces, [trained.get_score(index) for index in known])

    @classmethod
    def from_state(cls, state: dict[str, str], options: TokenizerOptions) -> Self:
        """Builds the tokenizer that gave this state."""
        return cls(options, json.loads(state["pieces"]), json.loads(state["scores"]))

    def backend(self) -> Backend:
        """Makes what cuts text into ids."""
        from tokenizers.models import Unigram

        specials = [(name, 0.0) for name in self.names]
        vocabulary = [*specials, *zip(self.pieces, self.scores, strict=True)]
        return byte_level(Unigram(vocab=vocabulary, unk_id=self.specials.unk))

    def state(self) -> dict[str, str]:
        """All of it as plain data."""
        return super().state() | {"scores": json.dumps(self.scores)}

"""Tokenizers of pretrained models behind our contract: read from a folder once, carried by our checkpoints."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import Self

from core.errors import CheckpointError
from core.pretrained_files import located, read_fast_tokenizer, target_begin
from core.tokenization.base import Specials
from core.tokenization.options import TokenizerOptions
from core.tokenization.subwords import byte_letters
from core.tokenization.trained import TrainedTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Backend


class PretrainedTokenizer(TrainedTokenizer):
    """A tokenizer of transformers that the tokenizers package can run, with its own ids.

    Text never becomes one of its special tokens: a literal "[SEP]" or "</s>" stays text. Begin and end tokens aren't
    put around a text: the data appends the end token, `core.encoders.pretrained_text` puts the begin token before it.
    What a pretrained tokenizer doesn't keep of a text, as BERT's not the case of letters, isn't in `decode` either.

    Args:
        options: their normalisation comes before the tokenizer's own; their symbols are added to its vocabulary.
        backend: the tokenizers package's description, JSON.
        specials: its ids for our special tokens. The begin token is the decoder's, where the model has one.
    """

    kind: ClassVar[str] = "pretrained"
    prefix: ClassVar[str] = ""

    def __init__(self, options: TokenizerOptions, backend: str, specials: Specials) -> None:
        super().__init__(options, ())
        self.description = backend
        self.specials = specials
        self.pieces = tuple(self._backend.id_to_token(index) or "" for index in range(len(self)))

    @classmethod
    def train(cls, texts: Iterable[str], options: TokenizerOptions) -> Self:
        """Reads the tokenizer of `options.path`; it learns nothing from the texts.

        Raises:
            CheckpointError: there is none, or one without the special tokens that are needed.
        """
        from transformers import PretrainedConfig

        option = "data.tokenizer.path"
        assert options.path is not None
        path = located(options.path, option)
        theirs = read_fast_tokenizer(path, option)
        try:
            config, _ = PretrainedConfig.get_config_dict(path)
        except (OSError, ValueError):
            config = {}  # a tokenizer without a model
        _, begin = target_begin(path, config)
        description = plain_description(theirs.backend_tokenizer.to_str())
        return cls(options.wherever(), description, specials_of(theirs, begin, path))

    @classmethod
    def from_state(cls, state: dict[str, str], options: TokenizerOptions) -> Self:
        """Builds the tokenizer that gave this state."""
        return cls(options, state["backend"], Specials(**json.loads(state["specials"])))

    def backend(self) -> Backend:
        """Makes what cuts text into ids."""
        from tokenizers import Tokenizer as Backend

        backend = Backend.from_str(self.description)
        backend.encode_special_tokens = True  # as text
        return backend

    def piece_bytes(self, piece: str) -> bytes:
        """The text that a piece stands for, in UTF-8; a piece within a word keeps the sign that says so, as ##."""
        letters = byte_letters()
        if self._byte_level and all(letter in letters for letter in piece):
            return bytes([letters[letter] for letter in piece])
        return piece.replace("▁", " ").encode("utf-8")

    def __len__(self) -> int:
        return 1 + max(self._backend.get_vocab(with_added_tokens=True).values())

    @property
    def vocabulary(self) -> dict[str, int]:
        """Each piece's id."""
        vocabulary: dict[str, int] = self._backend.get_vocab(with_added_tokens=True)
        return vocabulary

    def symbol_id(self, symbol: str) -> int:
        """The id of one of the options' symbols."""
        index = self._backend.token_to_id(symbol)
        assert index is not None  # it was added
        return index

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without begin and end token; empty for an empty text."""
        ids: list[int] = self._backend.encode(self.prepare(text), add_special_tokens=False).ids
        return ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts, in parallel where there are processors for it."""
        prepared = [self.prepare(text) for text in texts]
        encodings = self._backend.encode_batch_fast(prepared, add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids; special tokens are left out, and unknown tokens become "⁇"."""
        kept = [self._shown(index) for index in ids if index not in self._silent and index < len(self.pieces)]
        runs = groupby(filter(None, kept), self.options.symbols.__contains__)
        texts = [" ".join(run) if symbols else self._joined(list(run)) for symbols, run in runs]
        return " ".join(filter(None, map(str.strip, texts))) if self.options.collapse_whitespace else "".join(texts)

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Each id as readable text, for pictures and reports."""
        return [self.piece_bytes(self.pieces[index]).decode("utf-8", "replace") for index in ids]

    def state(self) -> dict[str, str]:
        """All of it as plain data; the folder isn't needed any more."""
        specials = vars(self.specials)
        return super().state() | {"pieces": "[]", "backend": self.description, "specials": json.dumps(specials)}

    @cached_property
    def _silent(self) -> set[int]:
        """Ids that aren't text: all special ones but that of the unknown, unless it has another role too."""
        added = self._backend.get_added_tokens_decoder()
        special = {index for index, token in added.items() if token.special} - {self.specials.unk}
        return special | {self.specials.pad, self.specials.bos, self.specials.eos}

    def _shown(self, index: int) -> str:
        return self.unknown if index == self.specials.unk else self.pieces[index]

    def _joined(self, pieces: list[str]) -> str:
        decoder = self._backend.decoder
        return " ".join(pieces) if decoder is None else str(decoder.decode(pieces))

    @cached_property
    def _byte_level(self) -> bool:
        return "ByteLevel" in json.dumps(json.loads(self.description)["pre_tokenizer"])


def plain_description(description: str) -> str:
    """Leaves out of a tokenizer's JSON what cuts texts off, pads them, and puts special tokens around them."""
    parts: dict[str, Any] = json.loads(description)
    trims = "ByteLevel" in json.dumps(parts.get("pre_tokenizer"))  # then a word's offsets leave out the space before it
    after = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True} if trims else None
    return json.dumps(parts | {"truncation": None, "padding": None, "post_processor": after}, ensure_ascii=False)


def specials_of(tokenizer: Any, begin: int | None, path: str) -> Specials:
    """Maps a tokenizer of transformers to our special tokens.

    Args:
        tokenizer: of transformers.
        begin: the begin token of the model's decoder; None where it has none.
        path: for the error.

    Raises:
        CheckpointError: nothing to pad with, or to end with.
    """
    first = {
        "pad": (tokenizer.pad_token_id,),
        "bos": (begin, tokenizer.bos_token_id, tokenizer.cls_token_id, tokenizer.pad_token_id),
        "eos": (tokenizer.eos_token_id, tokenizer.sep_token_id),
        "unk": (tokenizer.unk_token_id, tokenizer.pad_token_id),
    }
    ids = {name: next((index for index in given if index is not None), None) for name, given in first.items()}
    for name, role in (("pad", "padding (pad_token)"), ("eos", "the end of a text (eos_token or sep_token)")):
        if ids[name] is None:
            raise CheckpointError(f"data.tokenizer.path: the tokenizer of {path} has no token for {role}")
    return Specials(**{name: int(index) for name, index in ids.items() if index is not None})

"""Tokenizers turn text into ids and back."""

from core.tokenization.base import Specials, Tokenizer
from core.tokenization.options import TokenizerOptions
from core.tokenization.pretrained import PretrainedTokenizer
from core.tokenization.store import (
    load_tokenizer,
    read_tokenizer,
    save_tokenizer,
    train_tokenizer,
)
from core.tokenization.subwords import SubwordTokenizer, UnigramTokenizer
from core.tokenization.symbols import CharacterTokenizer, WordTokenizer
from core.tokenization.trained import TrainedTokenizer

__all__ = [
    "CharacterTokenizer",
    "PretrainedTokenizer",
    "Specials",
    "SubwordTokenizer",
    "Tokenizer",
    "TokenizerOptions",
    "TrainedTokenizer",
    "UnigramTokenizer",
    "WordTokenizer",
    "load_tokenizer",
    "read_tokenizer",
    "save_tokenizer",
    "train_tokenizer",
]

"""Tokenizers of transformers behind our contract, with small ones that are saved and loaded by path."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE, WordPiece
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from core.errors import CheckpointError
from core.tokenization import Specials, TokenizerOptions, TrainedTokenizer, load_tokenizer
from core.tokenization.store import train_tokenizer
from tests.contracts.tokenizer import TEXTS, TokenizerContract, trained

SPECIALS = ("<pad>", "<s>", "</s>", "<unk>")  # with our ids, as the contract wants them
ROLES = dict(zip(("pad_token", "bos_token", "eos_token", "unk_token"), SPECIALS, strict=True))
SYMBOLS = ("<user>", "<system>")
WORDS = ("[UNK]", "[SEP]", "the", "[PAD]", "dog", "##s", "run", "[CLS]", "cls", "[", "]")


def save_subwords(folder: Path, texts: Iterable[str]) -> str:
    """Writes byte-pair encoding over bytes, as RoBERTa's and BART's, with special tokens around a text."""
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokens = [AddedToken(token, special=True) for token in SPECIALS]
    trainer = BpeTrainer(vocab_size=300, special_tokens=tokens, initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(texts, trainer)
    wrap = [("<s>", 1), ("</s>", 2)]
    backend.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=wrap)
    backend.enable_truncation(8)
    PreTrainedTokenizerFast(tokenizer_object=backend, **ROLES).save_pretrained(folder)
    return str(folder)


def save_words(folder: Path, **roles: str) -> str:
    """Writes words and their ends in small letters, as BERT's; ids are the places in `WORDS`."""
    backend = Tokenizer(WordPiece({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    wrap = [("[CLS]", 7), ("[SEP]", 1)]
    backend.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=wrap)
    PreTrainedTokenizerFast(tokenizer_object=backend, **roles).save_pretrained(folder)
    return str(folder)


BERT = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}


def read(path: str) -> TrainedTokenizer:
    return train_tokenizer((), TokenizerOptions(kind="pretrained", path=path))


class TestPretrainedSubwords(TokenizerContract):
    symbols: ClassVar[tuple[str, ...]] = ()
    others: ClassVar[TokenizerOptions]

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def saved(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        path = save_subwords(tmp_path_factory.mktemp("subwords"), TEXTS)
        cls.options = TokenizerOptions(kind="pretrained", path=path, symbols=cls.symbols)
        path = save_subwords(tmp_path_factory.mktemp("others"), ["Quite another text, quite another vocabulary."] * 4)
        cls.others = replace(cls.options, path=path)

    def test_the_fingerprint_tells_tokenizers_apart(self, tokenizer: TrainedTokenizer) -> None:
        assert load_tokenizer(tokenizer.state()).fingerprint == tokenizer.fingerprint
        assert trained(self.others).fingerprint != tokenizer.fingerprint

    def test_a_text_longer_than_the_tokenizer_s_own_limit_is_whole(self, tokenizer: TrainedTokenizer) -> None:
        assert len(tokenizer.encode(TEXTS[0] * 3)) > 8

    def test_offsets_are_those_of_the_text(self, tokenizer: TrainedTokenizer) -> None:
        text = "the lazy dog"
        encoding = tokenizer.cut(text)
        assert encoding.ids == tokenizer.encode(text)
        whole = [(begin, end) for begin, end in encoding.offsets if end > begin]
        assert "".join(text[begin:end] for begin, end in whole) == "thelazydog", "the space before a word isn't its own"


class TestPretrainedSubwordsWithSymbols(TestPretrainedSubwords):
    symbols = SYMBOLS

    def test_a_symbol_is_one_token_wherever_it_stands(self, tokenizer: TrainedTokenizer) -> None:
        text = "<user> the dog <system> it is <user>"
        ids = tokenizer.encode("<user>the dog<system>it is <user>")
        assert [ids.count(tokenizer.symbol_id(symbol)) for symbol in SYMBOLS] == [2, 1]
        assert tokenizer.decode(ids) == text


def test_words_are_cut_as_the_vocabulary_says(tmp_path: Path) -> None:
    tokenizer = read(save_words(tmp_path, **BERT))
    assert tokenizer.specials == Specials(pad=3, bos=7, eos=1, unk=0)
    assert tokenizer.encode("The dogs run") == [2, 4, 5, 6]
    assert tokenizer.decode([7, 2, 4, 5, 0, 6, 1, 3, 3]) == "the dogs ⁇ run"
    assert tokenizer.tokens([7, 4, 5]) == ["[CLS]", "dog", "##s"]
    assert tokenizer.encode("[CLS]") == [9, 8, 10], "text stays text"


def test_the_begin_token_is_the_decoder_s(tmp_path: Path) -> None:
    path = save_words(tmp_path, **BERT)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "decoder_start_token_id": 4}))
    assert read(path).specials.bos == 4
    (tmp_path / "generation_config.json").write_text(json.dumps({"forced_bos_token_id": 6}))
    assert read(path).specials.bos == 6


def test_the_fingerprint_is_the_same_in_any_folder(tmp_path: Path) -> None:
    here, there = (read(save_words(tmp_path / name, **BERT)) for name in ("here", "there"))
    assert here.fingerprint == there.fingerprint


def test_a_state_needs_no_folder(tmp_path: Path) -> None:
    tokenizer = read(save_words(tmp_path / "gone", **BERT))
    shutil.rmtree(tmp_path / "gone")
    again = load_tokenizer(json.loads(json.dumps(tokenizer.state())))
    assert str(tmp_path) not in json.dumps(tokenizer.state())
    assert again.specials == tokenizer.specials
    assert again.encode("The dogs run") == [2, 4, 5, 6]


@pytest.mark.parametrize(("lacking", "role"), [("pad_token", "padding"), ("sep_token", "the end of a text")])
def test_a_tokenizer_without_a_token_that_is_needed_is_refused(tmp_path: Path, lacking: str, role: str) -> None:
    path = save_words(tmp_path, **{name: token for name, token in BERT.items() if name != lacking})
    with pytest.raises(CheckpointError, match=f"has no token for {role}"):
        read(path)


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"data\.tokenizer\.path.*must hold tokenizer\.json"):
        read(str(tmp_path))

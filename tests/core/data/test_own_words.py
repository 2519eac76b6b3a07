from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.batch import ExtendedTextBatch
from core.data.corpus import Corpus, Split, TextPair, numbered
from core.data.text_datamodule import TextDataModule
from core.data.vocabularies import Vocabularies
from core.errors import ConfigError
from core.tokenization import TokenizerOptions, load_tokenizer, train_tokenizer

OPTIONS = TokenizerOptions(kind="words", vocab_size=100, own_words=True)
TEXTS = ["who meets whom ?", "who meets whom ?", "ann meets bob .", "bob meets ann ."]


class Meetings(Corpus):
    """Names that training hasn't seen."""

    def read(self, split: Split) -> list[TextPair]:
        if split == "train":
            return numbered(["who ? he meets she ."] * 2, ["he , she ."] * 2)
        return numbered(["who ? Ada meets Bo .", "who ? Cy meets Ada .", "who ? who"], ["Ada .", "Bo , Cy .", "who"])


def data(folder: Path) -> TextDataModule:
    return TextDataModule(Meetings(), OPTIONS, batch_tokens=100, cache_dir=folder)


def test_own_words_are_numbered_in_each_source(tmp_path: Path) -> None:
    module = data(tmp_path)
    tokenizer = module.target_tokenizer
    types, (who, unk, eos) = len(tokenizer), (*tokenizer.encode("who"), tokenizer.specials.unk, tokenizer.specials.eos)
    (batch,) = module.val_dataloader()
    source = batch.source
    assert isinstance(source, ExtendedTextBatch)
    rows = {number: row for row, number in enumerate(batch.ids)}
    assert source.extra_types == 2
    first = source.extended[rows[0]].tolist()
    assert first[0] == who
    assert [index for index in first if index >= types] == [types, types + 1]
    assert source.values[rows[0]].tolist() == [unk if index >= types else index for index in first]
    assert [[tokenizer.decode([word]) for word in source.own_words[rows[n]]] for n in range(3)] == [
        ["Ada", "Bo"],
        ["Cy", "Ada"],
        [],
    ]
    # "Ada" is the first own word of its source, "Bo" isn't in the second one, and "Cy" is its first.
    full_stop = tokenizer.encode(".")[0]
    assert batch.target.values[rows[0]].tolist()[:3] == [types, full_stop, eos]
    assert batch.target.values[rows[1]].tolist()[:1] == [unk]
    assert types in batch.target.values[rows[1]].tolist()


def test_own_words_of_lines_to_predict(tmp_path: Path) -> None:
    module = data(tmp_path)
    (batch,) = module.text_loader(["Zoe meets Zoe"])
    assert batch.source.extended.tolist()[0][0] == len(module.target_tokenizer)
    assert [module.target_tokenizer.decode(list(words)) for words in batch.source.own_words] == ["Zoe"]


def test_an_open_tokenizer_knows_what_it_has_met() -> None:
    tokenizer = train_tokenizer(TEXTS, OPTIONS)
    ids = tokenizer.encode("who meets Ada Lovelace ?")
    assert [index >= len(tokenizer) for index in ids] == [False, False, True, True, False]
    assert tokenizer.decode(ids) == "who meets Ada Lovelace ?"
    assert tokenizer.encode_batch(["Lovelace", "Ada"]) == [[ids[3]], [ids[2]]]
    assert tokenizer.tokens(ids)[2] == " Ada"


def test_own_words_belong_to_no_checkpoint() -> None:
    tokenizer = train_tokenizer(TEXTS, OPTIONS)
    before = tokenizer.state()
    tokenizer.encode("Ada")
    assert tokenizer.state() == before
    assert load_tokenizer(before).open_types == len(tokenizer)
    closed = train_tokenizer(TEXTS, replace(OPTIONS, own_words=False))
    assert "own_words" not in closed.state()["options"]
    assert closed.open_types is None
    assert closed.encode("Ada") == [closed.specials.unk]


@pytest.mark.parametrize("options", [{"kind": "bpe"}, {"kind": "words", "joint": False}])
def test_own_words_need_one_vocabulary_of_words(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"own_words needs kind words and joint=true"):
        TokenizerOptions(own_words=True, **options)


def test_copying_needs_one_vocabulary() -> None:
    ours, theirs = (train_tokenizer(texts, replace(OPTIONS, own_words=False)) for texts in (TEXTS, TEXTS[2:]))
    Vocabularies(ours, ours).require_shared()
    for source in (theirs, None):
        with pytest.raises(ConfigError, match=r"copy is true.*joint=true"):
            Vocabularies(source, ours).require_shared()

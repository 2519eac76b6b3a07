from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import CheckpointError, ConfigError
from core.tokenization import TokenizerOptions, save_tokenizer, train_tokenizer
from tasks.dialogue.builtin import ChatterbotCorpus, read_conversations
from tasks.dialogue.data import DialogueData
from tasks.dialogue.readers import JsonlDialogues
from tests.contracts.datamodule import DataModuleContract
from tests.tasks.dialogue.tiny import write_dialogues

WORDS = TokenizerOptions(kind="words", min_frequency=1)


def corpus(folder: Path) -> JsonlDialogues:
    write_dialogues(folder)
    return JsonlDialogues(folder / "train.jsonl", folder / "val.jsonl", folder / "test.jsonl")


class TestDialogueData(DataModuleContract):
    @pytest.fixture
    def data(self, tmp_path: Path) -> DialogueData:
        return DialogueData(corpus(tmp_path), tokenizer=WORDS, batch_tokens=400, cache_dir=tmp_path / "cache")


class TestCutAndDroppedMerges(DataModuleContract):
    @pytest.fixture
    def data(self, tmp_path: Path) -> DialogueData:
        return DialogueData(
            corpus(tmp_path),
            "both",
            TokenizerOptions(vocab_size=300),
            batch_tokens=200,
            max_source_length=24,
            bpe_dropout=0.2,
            cache_dir=tmp_path / "cache",
        )

    def test_every_source_ends_with_who_replies(self, data: DialogueData) -> None:
        symbols = {data.source_tokenizer.symbol_id(name) for name in ("<user>", "<system>")}
        for epoch in range(3):
            dataset = data.dataset("train")
            dataset.epoch = epoch
            assert {int(dataset[row].source[-2]) for row in range(len(dataset))} == symbols
            assert max(len(dataset[row].source) for row in range(len(dataset))) <= 25


def test_cut_histories_are_told(tmp_path: Path) -> None:
    data = DialogueData(corpus(tmp_path), tokenizer=WORDS, max_source_length=12, cache_dir=tmp_path / "cache")
    data.setup("fit")
    # Of each dialogue's two replies the first has four words, two symbols and knowledge of four tokens before it; the
    # second's history has 16 tokens more, so that of its three turns the last stays alone.
    assert (data.histories["val"].histories, data.histories["val"].cut, data.histories["val"].turns) == (12, 6, 12)
    assert "val: 6 of 12 histories lost their first turns (12 in all)" in data.describe(["val"])
    assert data.pairs("val")[1].source.count("<user>") == 1
    assert data.dialogue_numbers("val") == [number for number in range(6) for _ in range(2)]


def test_a_tokenizer_without_the_speakers_is_refused(tmp_path: Path) -> None:
    save_tokenizer(train_tokenizer(["a table in rome"], WORDS), tmp_path / "joint.json")
    data = DialogueData(corpus(tmp_path), tokenizers=tmp_path)
    with pytest.raises(CheckpointError, match="<user>"):
        data.pairs("train")


def test_a_file_of_the_built_in_corpus(tmp_path: Path) -> None:
    lines = ["- - Hi", "  - Hello", "  - Bye", "- broken", "- - alone"]
    found = {}
    for topic in ("greetings", "emotion"):
        path = tmp_path / f"{topic}.yml"
        path.write_text("\n".join(["conversations:", *lines]), encoding="utf-8")
        found[topic] = [[turn.text for turn in dialogue.turns] for dialogue in read_conversations(path)]
    assert found == {"greetings": [["Hi", "Hello", "Bye"]], "emotion": [["Hi", "Hello"], ["Hi", "Bye"]]}


def test_no_opening_of_the_built_in_corpus_is_in_two_splits() -> None:
    pytest.importorskip("chatterbot_corpus")
    built_in = ChatterbotCorpus()
    openings = [
        {dialogue.turns[0].text.lower().rstrip("?!. ") for dialogue in built_in.dialogues(split)}
        for split in ("train", "val", "test")
    ]
    assert all(openings)
    assert not openings[0] & openings[1]
    assert not openings[0] & openings[2]
    assert not openings[1] & openings[2]
    assert built_in.dialogues("val") == ChatterbotCorpus().dialogues("val")
    with pytest.raises(ConfigError, match="did you mean german"):
        ChatterbotCorpus("germn")


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.dialogue.builtin.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"polyseq\[dialogue\]"):
        ChatterbotCorpus()

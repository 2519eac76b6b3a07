from __future__ import annotations

import logging
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from core.data.corpus import Corpus, Split, TextPair, numbered
from core.data.dropout import DroppedTable
from core.data.loader import ResumableLoader
from core.data.text_datamodule import TextDataModule
from core.errors import ConfigError, DataError
from core.tokenization import TokenizerOptions, save_tokenizer
from tests.contracts.datamodule import TextDataModuleContract

WORDS = ("the", "old", "dog", "sleeps", "under", "a", "tree", "and", "dreams", "of", "rabbits")
OTHERS = ("der", "alte", "Hund", "schläft", "unter", "einem", "Baum", "und", "träumt", "von", "Hasen")


class Sentences(Corpus):
    """Sentences of all lengths, the target in the words' own order; remembers what was read."""

    def __init__(self, train: int = 120, val: int = 20, test: int = 15) -> None:
        self.counts: dict[Split, int] = {"train": train, "val": val, "test": test}
        self.read_splits: list[Split] = []

    def read(self, split: Split) -> list[TextPair]:
        self.read_splits.append(split)
        begin = {"train": 0, "val": 1000, "test": 2000}[split]
        rows = [range(row, row + 1 + row % 9) for row in range(begin, begin + self.counts[split])]
        words = [[" ".join(side[i % 11] for i in row) + f" {row[0]}" for row in rows] for side in (WORDS, OTHERS)]
        return numbered(*words)


def make(cache: Path, corpus: Corpus | None = None, **options: object) -> TextDataModule:
    defaults: dict[str, object] = {
        "tokenizer": TokenizerOptions(kind="bpe", vocab_size=300),
        "batch_tokens": 200,
        "cache_dir": cache,
    }
    return TextDataModule(corpus or Sentences(), **(defaults | options))  # type: ignore[arg-type]


class TestJoint(TextDataModuleContract):
    @pytest.fixture
    def data(self, tmp_path: Path) -> TextDataModule:
        return make(tmp_path)


class TestApart(TextDataModuleContract):
    @pytest.fixture
    def data(self, tmp_path: Path) -> TextDataModule:
        options = TokenizerOptions(kind="characters", joint=False, lowercase=True)
        return make(tmp_path, tokenizer=options, append_eos=False, budget="longest")


class TestTruncated(TextDataModuleContract):
    @pytest.fixture
    def data(self, tmp_path: Path) -> TextDataModule:
        return make(tmp_path, max_source_length=8, max_target_length=8, overlong="truncate")


class TestWorkers(TextDataModuleContract):
    @pytest.fixture
    def data(self, tmp_path: Path) -> TextDataModule:
        return make(tmp_path, num_workers=1, corpus=Sentences(60, 5, 5))


def test_only_the_splits_of_a_stage_are_read(tmp_path: Path) -> None:
    make(tmp_path).vocabularies.save(tmp_path / "mine")
    for stage, expected in (("test", ["test"]), ("validate", ["val"]), ("predict", []), ("fit", ["train", "val"])):
        corpus = Sentences()
        data = make(tmp_path, corpus, tokenizers=tmp_path / "mine")
        data.prepare_data()
        data.setup(stage)
        data.setup(stage)
        assert corpus.read_splits == expected


def test_given_tokenizers_are_used(tmp_path: Path) -> None:
    data = make(tmp_path, tokenizer=TokenizerOptions(kind="words"))
    save_tokenizer(data.source_tokenizer, tmp_path / "words.json")
    again = make(tmp_path, tokenizers=tmp_path / "words.json")
    assert again.source_tokenizer.state() == data.source_tokenizer.state()


def test_what_was_counted_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Twice(Sentences):
        def read(self, split: Split) -> list[TextPair]:
            pairs = super().read(split)
            return [*pairs, TextPair(len(pairs), "the dog 0", ("der Hund 0",))]

    data = make(tmp_path, Twice(), max_source_length=8)
    logging.getLogger("lightning.pytorch").propagate = True
    with caplog.at_level(logging.INFO):
        data.setup("fit")
    text = caplog.text
    assert "padding" in text
    assert "val: 1 of 21 sources are also in the training data" in text
    assert "sources are truncated to data.max_source_length=8" in text
    report = data.reports["train"]
    assert report.pairs == 121
    assert report.dropped == report.overlong_sources > 0
    assert report.batches == len(data.sampler("train"))


@pytest.mark.parametrize("lowercase", [True, False])
def test_references_in_a_case_that_is_not_written_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, lowercase: bool
) -> None:
    logging.getLogger("lightning.pytorch").propagate = True
    data = make(tmp_path, tokenizer=TokenizerOptions(kind="words", lowercase=lowercase))
    with caplog.at_level(logging.INFO):
        data.setup("fit")
    capitals = sum(pair.targets[0] != pair.targets[0].lower() for pair in Sentences().read("val"))
    told = f"val: {capitals} of 20 references have capitals, which data.tokenizer.lowercase"
    assert (told in caplog.text) == lowercase
    assert capitals > 0
    assert caplog.text.count("have capitals") == int(lowercase)


def test_a_split_without_a_usable_pair_is_refused(tmp_path: Path) -> None:
    make(tmp_path).vocabularies.save(tmp_path / "mine")
    with pytest.raises(DataError, match=r"train split has no usable pair \(120 read, 120 dropped\)"):
        make(tmp_path, tokenizers=tmp_path / "mine", max_source_length=1).setup("fit")
    with pytest.raises(DataError, match="test split has no usable pair"):
        make(tmp_path, Sentences(test=0), tokenizers=tmp_path / "mine").setup("test")


def test_references_are_spread_in_training_and_kept_in_evaluation(tmp_path: Path) -> None:
    class Captions(Corpus):
        def read(self, split: Split) -> list[TextPair]:
            return [TextPair(row, f"picture {row}", (f"one {row}", f"two {row}")) for row in range(10)]

    data = make(tmp_path, Captions())
    data.setup("fit")
    assert sorted(index for batch in data.train_dataloader() for index in batch.ids) == list(range(20))
    (batch,) = list(data.val_dataloader())
    assert sorted(batch.ids) == list(range(10))
    assert ("one 3", "two 3") in batch.references


def test_dropout_is_for_training_alone(tmp_path: Path) -> None:
    data = make(tmp_path, bpe_dropout=0.3)
    data.setup("fit")
    assert isinstance(data.make_dataset("train").sources, DroppedTable)
    assert not isinstance(data.make_dataset("val").sources, DroppedTable)
    loader = data.train_dataloader()
    assert isinstance(loader, ResumableLoader)
    epochs = []
    for epoch in (0, 1, 0):
        loader.batch_sampler.set_epoch(epoch)
        epochs.append({i: row for b in loader for i, row in zip(b.ids, b.source.values.tolist(), strict=True)})
    assert epochs[0] == epochs[2]
    assert epochs[0] != epochs[1]
    with pytest.raises(ConfigError, match=r"bpe_dropout must be in \[0, 1\), got 1"):
        make(tmp_path, bpe_dropout=1.0)


def test_lines_are_batched_with_the_same_tokens(tmp_path: Path) -> None:
    data = make(tmp_path)
    (batch,) = list(data.text_loader(["the dog", ""]))
    assert batch.ids == (0,)
    assert batch.source.values[0].tolist() == [*data.source_tokenizer.encode("the dog"), 2]


@pytest.mark.parametrize(
    "name", ["AlignedText", "TsvCorpus", "CsvCorpus", "JsonlCorpus", "DatasetCorpus", "StreamedText"]
)
def test_readers_are_chosen_by_their_bare_name(name: str) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(TextDataModule, "data")
    own = {
        "AlignedText": {"folder": "x", "source": "en", "target": "de"},
        "DatasetCorpus": {"path": "x"},
        "StreamedText": {"train": "x"},
    }
    parsed = parser.parse_object({"data": {"corpus": {"class_path": name, "init_args": own.get(name, {})}}})
    assert type(parser.instantiate(parsed).data.corpus).__name__ == name

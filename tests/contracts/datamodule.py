"""What every datamodule keeps: subclass a contract, make a datamodule and these tests are yours."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import pytest

from core.batch import Seq2SeqBatch, TextBatch
from core.data.datamodule import Seq2SeqDataModule
from core.data.loader import ResumableLoader
from core.data.sampler import BucketBatchSampler
from core.data.text_datamodule import TextDataModule


class DataModuleContract:
    """Checks batches of all splits, and the plan of the training ones, whatever the source is."""

    @pytest.fixture
    @abstractmethod
    def data(self, tmp_path: Path) -> Seq2SeqDataModule:
        """A datamodule whose training split makes at least three batches."""

    def batches(self, data: Seq2SeqDataModule, split: str) -> list[Seq2SeqBatch]:
        data.setup("test" if split == "test" else "fit")
        return list(getattr(data, f"{split}_dataloader")())

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_batches_are_complete_and_their_targets_padded(self, data: Seq2SeqDataModule, split: str) -> None:
        for batch in self.batches(data, split):
            assert isinstance(batch, Seq2SeqBatch)
            assert len(batch.ids) == len(batch.source_texts) == len(batch.references) == len(batch)
            assert batch.source.lengths.shape == (len(batch),)
            assert int(batch.source.lengths.min()) > 0
            assert isinstance(batch.target, TextBatch)
            check_padding(batch.target, data.specials.pad)

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_every_example_comes_once(self, data: Seq2SeqDataModule, split: str) -> None:
        ids = [index for batch in self.batches(data, split) for index in batch.ids]
        assert len(ids) == len(set(ids))
        assert set(ids) == set(data.dataset(split).ids)  # type: ignore[arg-type]

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_a_target_ends_with_the_end_token_and_has_no_begin_token(self, data: Seq2SeqDataModule, split: str) -> None:
        eos, bos = data.specials.eos, data.specials.bos
        for batch in self.batches(data, split):
            assert batch.target is not None
            for row, length in zip(batch.target.values.tolist(), batch.target.lengths.tolist(), strict=True):
                assert row[length - 1] == eos
                assert eos not in row[: length - 1]
                assert bos not in row

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_what_is_learnt_is_what_was_written(self, data: Seq2SeqDataModule, split: str) -> None:
        tokenizer = data.target_tokenizer
        for batch in self.batches(data, split):
            assert batch.target is not None
            for row, references in zip(batch.target.values.tolist(), batch.references, strict=True):
                assert tokenizer.normalise(references[0]).startswith(tokenizer.decode(row).rstrip("\ufffd"))

    def test_sizes_are_there_before_anything_is_set_up(self, data: Seq2SeqDataModule) -> None:
        assert data.source_size > 0
        assert data.vocab_size == len(data.target_tokenizer)

    def test_the_budget_holds(self, data: Seq2SeqDataModule) -> None:
        batches = self.batches(data, "train")
        dataset = data.dataset("train")
        counted = dict(zip(dataset.ids, data.sampler("train").budgeted.tolist(), strict=True))
        for batch in batches:
            longest = max(counted[index] for index in batch.ids)
            assert len(batch) == 1 or len(batch) * longest <= data.batch_budget

    def test_the_plan_is_a_pure_function_of_seed_and_epoch(self, data: Seq2SeqDataModule) -> None:
        data.setup("fit")
        first, second = data.sampler("train"), data.sampler("train")
        list(first)
        second.set_epoch(5)
        assert first.plan(3) == second.plan(3)
        assert first.plan(3) != first.plan(4)
        assert len(list(first)) == len(list(second)) == len(first) >= 3

    def test_a_loader_goes_on_where_it_is_told_to(
        self, data: Seq2SeqDataModule, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data.setup("fit")
        loader = data.train_dataloader()
        assert isinstance(loader, ResumableLoader)
        assert isinstance(loader.batch_sampler, BucketBatchSampler)
        loader.batch_sampler.set_epoch(2)
        whole = list(loader)
        monkeypatch.setattr(loader, "position", lambda: 2)
        loader.batch_sampler.set_epoch(2)
        rest = list(loader)
        assert [batch.ids for batch in rest] == [batch.ids for batch in whole[2:]]
        for again, before in zip(rest, whole[2:], strict=True):
            assert again.source.values.equal(before.source.values)
        assert len(loader) == len(whole)

    def test_what_was_counted_is_told(self, data: Seq2SeqDataModule) -> None:
        data.setup("fit")
        told = data.describe(["train", "val"])
        assert "train" in told
        assert "val" in told


class TextDataModuleContract(DataModuleContract):
    """What holds for sources of text beside that."""

    @pytest.fixture
    @abstractmethod
    def data(self, tmp_path: Path) -> TextDataModule:
        """A datamodule whose training split makes at least three batches."""

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_sources_are_typed_and_padded(self, data: TextDataModule, split: str) -> None:
        for batch in self.batches(data, split):
            assert isinstance(batch.source, TextBatch)
            check_padding(batch.source, data.specials.pad)

    def test_the_sources_size_is_its_vocabularys(self, data: TextDataModule) -> None:
        assert data.source_size == len(data.source_tokenizer)

    def test_the_budget_holds_for_what_is_padded(self, data: TextDataModule) -> None:
        for batch in self.batches(data, "train"):
            assert batch.target is not None
            longest = max(batch.source.values.size(1), batch.target.values.size(1))
            assert len(batch) == 1 or len(batch) * longest <= data.batch_budget


def check_padding(side: TextBatch, pad: int) -> None:
    """Checks that rows hold tokens up to their lengths and padding behind them, up to the longest of them."""
    assert side.values.shape == (len(side), int(side.lengths.max()))
    assert side.values.dtype == side.lengths.dtype
    assert int(side.lengths.min()) > 0
    for row, length in zip(side.values.tolist(), side.lengths.tolist(), strict=True):
        assert pad not in row[:length]
        assert set(row[length:]) <= {pad}

"""What every text datamodule keeps: subclass it, make a datamodule and these tests are yours."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

import pytest

from core.batch import Seq2SeqBatch, TextBatch
from core.data.sampler import BucketBatchSampler
from core.data.text_datamodule import TextDataModule


class DataModuleContract:
    """Checks batches of all splits, and the plan of the training ones."""

    @pytest.fixture
    @abstractmethod
    def data(self, tmp_path: Path) -> TextDataModule:
        """A datamodule whose training split makes at least three batches."""

    def batches(self, data: TextDataModule, split: str) -> list[Seq2SeqBatch]:
        data.setup("test" if split == "test" else "fit")
        return list(getattr(data, f"{split}_dataloader")())

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_batches_are_typed_and_padded(self, data: TextDataModule, split: str) -> None:
        for batch in self.batches(data, split):
            assert isinstance(batch, Seq2SeqBatch)
            assert batch.target is not None
            for side in (batch.source, batch.target):
                assert isinstance(side, TextBatch)
                assert side.values.shape == (len(batch), int(side.lengths.max()))
                assert side.values.dtype == side.lengths.dtype
                assert int(side.lengths.min()) > 0
                for row, length in zip(side.values.tolist(), side.lengths.tolist(), strict=True):
                    assert data.specials.pad not in row[:length]
                    assert set(row[length:]) <= {data.specials.pad}
            assert len(batch.ids) == len(batch.source_texts) == len(batch.references) == len(batch)

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_every_example_comes_once(self, data: TextDataModule, split: str) -> None:
        ids = [index for batch in self.batches(data, split) for index in batch.ids]
        assert len(ids) == len(set(ids))
        assert set(ids) == set(data.dataset(split).ids)  # type: ignore[arg-type]

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_a_target_ends_with_the_end_token_and_has_no_begin_token(self, data: TextDataModule, split: str) -> None:
        eos, bos = data.specials.eos, data.specials.bos
        for batch in self.batches(data, split):
            assert batch.target is not None
            for row, length in zip(batch.target.values.tolist(), batch.target.lengths.tolist(), strict=True):
                assert row[length - 1] == eos
                assert eos not in row[: length - 1]
                assert bos not in row

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_what_is_learnt_is_what_was_written(self, data: TextDataModule, split: str) -> None:
        tokenizer = data.target_tokenizer
        for batch in self.batches(data, split):
            assert batch.target is not None
            for row, references in zip(batch.target.values.tolist(), batch.references, strict=True):
                assert tokenizer.normalise(references[0]).startswith(tokenizer.decode(row).rstrip("\ufffd"))

    def test_sizes_are_there_before_anything_is_set_up(self, data: TextDataModule) -> None:
        assert data.source_size == len(data.source_tokenizer)
        assert data.vocab_size == len(data.target_tokenizer)

    def test_the_budget_holds(self, data: TextDataModule) -> None:
        for batch in self.batches(data, "train"):
            assert batch.target is not None
            longest = max(batch.source.values.size(1), batch.target.values.size(1))
            assert len(batch) == 1 or len(batch) * longest <= data.batch_budget

    def test_the_plan_is_a_pure_function_of_seed_and_epoch(self, data: TextDataModule) -> None:
        data.setup("fit")
        first, second = data.sampler("train"), data.sampler("train")
        list(first)
        second.set_epoch(5)
        assert first.plan(3) == second.plan(3)
        assert first.plan(3) != first.plan(4)
        assert len(list(first)) == len(list(second)) == len(first) >= 3

    def test_a_loader_goes_on_where_it_is_told_to(self, data: TextDataModule, monkeypatch: pytest.MonkeyPatch) -> None:
        data.setup("fit")
        loader = data.train_dataloader()
        assert isinstance(loader.batch_sampler, BucketBatchSampler)
        loader.batch_sampler.set_epoch(2)
        whole = [batch.ids for batch in loader]
        monkeypatch.setattr(loader, "position", lambda: 2)
        loader.batch_sampler.set_epoch(2)
        assert [batch.ids for batch in loader] == whole[2:]
        assert len(loader) == len(whole)

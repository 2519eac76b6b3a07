"""The datamodule of text-to-text tasks: corpus, tokenizers, batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.data import DataLoader

from core.data.collate import TextExample, collate
from core.data.corpus import Corpus, Split, TextPair
from core.data.dropout import drop_merges
from core.data.encode import Limits, Overlong, TextDataset, encode_pairs, spread_references
from core.data.loader import ResumableLoader, text_loader
from core.data.report import SplitReport, count_seen, report_table
from core.data.sampler import BucketBatchSampler, Budget
from core.data.vocabularies import Vocabularies, cached_vocabularies, default_cache, read_vocabularies
from core.errors import ConfigError, DataError
from core.tokenization import Specials, TokenizerOptions, TrainedTokenizer

_log = logging.getLogger(__name__)


class Seq2SeqDataModule(LightningDataModule):
    """Batches of a text-to-text corpus, by a budget of tokens.

    The trainer must run with `use_distributed_sampler=False`: the batches are divided among ranks here.

    Args:
        corpus: where the pairs come from.
        tokenizer: how to train the tokenizers, unless `tokenizers` gives them.
        tokenizers: a directory with trained ones (joint.json, or source.json and target.json), one JSON file for
            both sides, or one of our checkpoints.
        batch_tokens: the most tokens of a training batch on one rank, padding included (see `budget`).
        eval_batch_tokens: the same for validation, test and prediction; None for `batch_tokens`.
        budget: what is counted: each pair's longer side ("longest"), or its target.
        max_source_length: the most source tokens, end token not counted.
        max_target_length: the most target tokens, end token not counted.
        overlong: what happens to longer training pairs. In evaluation they are truncated, never dropped.
        append_eos: end each source with the end token.
        bpe_dropout: probability of leaving out a merge in training, drawn anew each epoch (Provilkov et al. 2020);
            the budget counts tokens without it.
        num_workers: processes that make batches; 0 for none beside the trainer's own.
        seed: of the order of the training batches.
        cache_dir: where trained tokenizers are kept; None for $POLYSEQ_CACHE or ~/.cache/polyseq.

    Raises:
        ConfigError: an option is out of its range.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: TokenizerOptions = TokenizerOptions(),  # noqa: B008 (it is frozen)
        tokenizers: Path | None = None,
        batch_tokens: int = 4096,
        eval_batch_tokens: int | None = None,
        budget: Budget = "longest",
        max_source_length: int = 256,
        max_target_length: int = 256,
        overlong: Overlong = "drop",
        append_eos: bool = True,
        bpe_dropout: float = 0.0,
        num_workers: int = 0,
        seed: int = 1,
        cache_dir: Path | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= bpe_dropout < 1:
            raise ConfigError(f"data.bpe_dropout must be in [0, 1), got {bpe_dropout}")
        self.bpe_dropout = bpe_dropout
        self.corpus = corpus
        self.tokenizer_options = tokenizer
        self.tokenizers_path = tokenizers
        self.batch_tokens = batch_tokens
        self.eval_batch_tokens = eval_batch_tokens or batch_tokens
        self.budget: Budget = budget
        self.limits = Limits(max_source_length, max_target_length, overlong, append_eos)
        self.num_workers = num_workers
        self.seed = seed
        self.cache_dir = cache_dir
        self.reports: dict[Split, SplitReport] = {}
        self._pairs: dict[Split, list[TextPair]] = {}
        self._datasets: dict[Split, TextDataset] = {}

    @cached_property
    def vocabularies(self) -> Vocabularies:
        """Both tokenizers: read from `tokenizers`, or from the cache, or trained on the training split."""
        if self.tokenizers_path is not None:
            return read_vocabularies(Path(self.tokenizers_path))
        return cached_vocabularies(self.pairs("train"), self.tokenizer_options, self.cache_dir or default_cache())

    @property
    def source_tokenizer(self) -> TrainedTokenizer:
        """The source's."""
        return self.vocabularies.source

    @property
    def target_tokenizer(self) -> TrainedTokenizer:
        """The target's, the same object as the source's if the vocabulary is joint."""
        return self.vocabularies.target

    @property
    def source_size(self) -> int:
        """The number of source types: the first argument of a text encoder."""
        return len(self.source_tokenizer)

    @property
    def vocab_size(self) -> int:
        """The number of target types: the first argument of a decoder."""
        return len(self.target_tokenizer)

    @property
    def specials(self) -> Specials:
        """The target's special ids."""
        return self.target_tokenizer.specials

    def pairs(self, split: Split) -> list[TextPair]:
        """The raw pairs of a split, read once; in training one target each.

        Raises:
            DataError: the data is missing or can't be used.
        """
        if split not in self._pairs:
            pairs = self.corpus.read(split)
            self._pairs[split] = spread_references(pairs) if split == "train" else pairs
        return self._pairs[split]

    def dataset(self, split: Split) -> TextDataset:
        """The examples of a split, cut into tokens once."""
        if split not in self._datasets:
            self._datasets[split], self.reports[split] = self._encode(split)
        return self._datasets[split]

    def _encode(self, split: Split) -> tuple[TextDataset, SplitReport]:
        pairs, training = self.pairs(split), split == "train"
        dataset, report = encode_pairs(pairs, self.source_tokenizer, self.target_tokenizer, self.limits, training)
        if not len(dataset):
            raise DataError(f"the {split} split has no usable pair ({report.pairs} read, {report.dropped} dropped)")
        if training and self.bpe_dropout:
            sides = (self.source_tokenizer, self.target_tokenizer)
            dataset = drop_merges(dataset, *sides, self.limits, self.bpe_dropout, self.seed)
        return dataset, report

    def prepare_data(self) -> None:
        """Trains the tokenizers if there are none yet."""
        _ = self.vocabularies

    def setup(self, stage: str) -> None:
        """Reads and cuts the splits that the stage needs, and logs what was counted."""
        needed: dict[str, tuple[Split, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        new = [split for split in needed.get(stage, ()) if split not in self._datasets]
        for split in new:
            sampler = self.sampler(split)
            report = replace(self.reports[split], batches=len(sampler), waste=sampler.padding_waste())
            if split != "train" and "train" in self._pairs:
                report = replace(report, seen=count_seen(self.pairs(split), self.pairs("train")))
            self.reports[split] = report
        if new:
            rank_zero_info("%s", report_table({split: self.reports[split] for split in new}))
        for split in new:
            self._warn(split)

    def _warn(self, split: Split) -> None:
        report = self.reports[split]
        if split != "train" and report.overlong_sources:
            _log.warning(
                "%s: %d sources are truncated to data.max_source_length=%d tokens",
                split, report.overlong_sources, self.limits.source,
            )  # fmt: skip
        if report.seen:
            _log.warning("%s: %d of %d sources are also in the training data", split, report.seen, report.pairs)

    def sampler(self, split: Split) -> BucketBatchSampler:
        """The batches of a split for this rank."""
        dataset = self.dataset(split)
        assert dataset.targets is not None
        training = split == "train"
        return BucketBatchSampler(
            dataset.sources.lengths,
            dataset.targets.lengths,
            self.batch_tokens if training else self.eval_batch_tokens,
            budget=self.budget,
            shuffle=training,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled batches; in a run that was resumed in mid-epoch, those that it hadn't seen."""
        return ResumableLoader(
            self.dataset("train"),
            self.sampler("train"),
            self._position,
            self.source_tokenizer.specials.pad,
            self.num_workers,
            torch.cuda.is_available(),
        )

    def _position(self) -> int:
        """The batches of this epoch that the trainer has behind it."""
        return self.trainer.fit_loop.epoch_loop.batch_progress.current.ready if self.trainer else 0

    def val_dataloader(self) -> DataLoader[TextExample]:
        """Batches of the validation split, the longest first."""
        return self._evaluation("val")

    def test_dataloader(self) -> DataLoader[TextExample]:
        """Batches of the test split, the longest first."""
        return self._evaluation("test")

    def _evaluation(self, split: Split) -> DataLoader[TextExample]:
        return DataLoader(
            self.dataset(split),
            batch_sampler=self.sampler(split),
            collate_fn=partial(collate, pad=self.source_tokenizer.specials.pad),
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
        )

    def text_loader(self, lines: Sequence[str]) -> DataLoader[TextExample]:
        """Batches of raw lines for prediction (see `core.data.loader.text_loader`)."""
        return text_loader(lines, self.source_tokenizer, self.eval_batch_tokens, self.limits)

"""The datamodule of text-to-text tasks: corpus, tokenizers, batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from core.data.collate import Example
from core.data.corpus import Corpus, Split, TextPair, spread_references
from core.data.datamodule import Seq2SeqDataModule
from core.data.dropout import drop_merges
from core.data.encode import Limits, Overlong, TextDataset, encode_pairs
from core.data.loader import ResumableLoader, text_loader
from core.data.pools import Reading, Share
from core.data.report import SplitReport, count_seen, report_table
from core.data.sampler import Budget
from core.data.stored_pairs import StoredPairs, cached_pairs
from core.data.stored_tokens import cached_tokens
from core.data.stream_loader import StreamLoader
from core.data.streaming import StreamedText
from core.data.vocabularies import Vocabularies, cached_vocabularies, default_cache, read_vocabularies
from core.errors import CheckpointError, ConfigError, DataError
from core.tokenization import TokenizerOptions, TrainedTokenizer

_log = logging.getLogger(__name__)


class TextDataModule(Seq2SeqDataModule):
    """Batches of a text-to-text corpus, by a budget of tokens.

    Args:
        corpus: where the pairs come from.
        tokenizer: how to train the tokenizers, unless `tokenizers` gives them.
        tokenizers: a directory with trained ones (joint.json, or source.json and target.json), one JSON file for
            both sides, or one of our checkpoints.
        batch_tokens: the most tokens of a training batch on one rank, padding included (see `budget`).
        eval_batch_tokens: the same for validation, test and prediction; None for `batch_tokens`.
        budget: what is counted: each pair's longer side ("longest"), its source or its target.
        max_source_length: the most source tokens, end token not counted.
        max_target_length: the most target tokens, end token not counted.
        overlong: what happens to longer training pairs. In evaluation they are truncated, never dropped.
        append_eos: end each source with the end token.
        bpe_dropout: probability of leaving out a merge in training, drawn anew each epoch (Provilkov et al. 2020);
            the budget counts tokens without it.
        num_workers: processes that make batches; 0 for none beside the trainer's own.
        seed: of the order of the training batches.
        cache_dir: where trained tokenizers and the training data's tokens are kept; None for $POLYSEQ_CACHE or
            ~/.cache/polyseq.

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
        super().__init__(batch_tokens, eval_batch_tokens or batch_tokens, budget, num_workers, seed, tokenizers)
        if not 0 <= bpe_dropout < 1:
            raise ConfigError(f"data.bpe_dropout must be in [0, 1), got {bpe_dropout}")
        self.bpe_dropout = bpe_dropout
        self.corpus = corpus
        self.tokenizer_options = tokenizer
        self.limits = Limits(max_source_length, max_target_length, overlong, append_eos)
        self.cache_dir = cache_dir
        if isinstance(corpus, StreamedText):
            self.streamed = ("train",)
            _check_streamed(bpe_dropout, tokenizer)
        self.reports: dict[Split, SplitReport] = {}
        self._pairs: dict[Split, Sequence[TextPair]] = {}

    @cached_property
    def vocabularies(self) -> Vocabularies:
        """Both tokenizers: read from `tokenizers`, or from the cache, or trained on the training split."""
        if self.tokenizers_path is not None:
            return read_vocabularies(Path(self.tokenizers_path))
        pairs = self.corpus.head() if isinstance(self.corpus, StreamedText) else self.pairs("train")
        if isinstance(pairs, StoredPairs):
            return cached_vocabularies(pairs.sources, pairs.targets, self.tokenizer_options, self.cache)
        sources, targets = [pair.source for pair in pairs], [pair.targets[0] for pair in pairs]
        return cached_vocabularies(sources, targets, self.tokenizer_options, self.cache)

    @property
    def cache(self) -> Path:
        """The directory of what is made once."""
        return self.cache_dir or default_cache()

    @property
    def source_tokenizer(self) -> TrainedTokenizer:
        """The source's."""
        tokenizer = self.vocabularies.source
        if tokenizer is None:
            raise CheckpointError(f"data.tokenizers: {self.tokenizers_path} has no tokenizer for the source's text")
        return tokenizer

    @property
    def source_size(self) -> int:
        """The number of source types: the first argument of a text encoder."""
        return len(self.source_tokenizer)

    def pairs(self, split: Split) -> Sequence[TextPair]:
        """The raw pairs of a split, read once; in training one target each, and where they are from files, mapped.

        Raises:
            DataError: the data is missing or can't be used.
        """
        if split not in self._pairs:
            self._pairs[split] = self._training_pairs() if split == "train" else self.corpus.read(split)
        return self._pairs[split]

    def _training_pairs(self) -> Sequence[TextPair]:
        stored = cached_pairs(self.corpus, "train", self.cache)
        return list(spread_references(self.corpus.read("train"))) if stored is None else stored

    def make_dataset(self, split: Split) -> TextDataset:
        """Cuts a split into tokens."""
        pairs, training = self.pairs(split), split == "train"
        sides = (self.source_tokenizer, self.target_tokenizer)
        if isinstance(pairs, StoredPairs) and self.source_tokenizer.open_types is None:
            dataset, report = cached_tokens(pairs, *sides, self.limits, self.cache)
        else:
            dataset, report = encode_pairs(pairs, *sides, self.limits, training)
        if not len(dataset):
            raise DataError(f"the {split} split has no usable pair ({report.pairs} read, {report.dropped} dropped)")
        self.reports[split] = report
        if training and self.bpe_dropout:
            dataset = drop_merges(dataset, *sides, self.limits, self.bpe_dropout, self.seed)
        return dataset

    def train_dataloader(self) -> ResumableLoader | StreamLoader:
        """Shuffled batches; in a run that was resumed in mid-epoch, those that it hadn't seen.

        Raises:
            ConfigError: a stream is to be read a number of times.
        """
        if not isinstance(self.corpus, StreamedText):
            return super().train_dataloader()
        sides = self.source_tokenizer, self.target_tokenizer
        trainer = self.trainer
        if trainer and (trainer.max_epochs or 0) > 0:
            raise ConfigError(
                f"trainer.max_epochs is {trainer.max_epochs}, but a stream's epochs aren't known before: set it to -1 "
                "and trainer.max_steps to a number of updates"
            )
        rank, ranks = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        return StreamLoader(
            Reading(self.corpus, *sides, self.limits, self.seed),
            self.batch_budget,
            self.budget,
            self.position,
            Share(rank, ranks, workers=max(1, min(self.num_workers, self.corpus.shards()))),
            pin_memory=torch.cuda.is_available(),
            processes=self.num_workers > 0,
            at_end=self._tell_epoch,
        )

    def _tell_epoch(self, report: SplitReport, bad: int) -> None:
        self.reports["train"] = report
        self.tell(
            f"an epoch of the stream: {report.pairs:,} pairs read, {report.dropped:,} dropped (empty "
            f"{report.empty_sources:,}/{report.empty_targets:,}, over-long {report.overlong_sources:,}/"
            f"{report.overlong_targets:,}), {bad:,} examples that can't be used"
        )

    def describe(self, splits: Sequence[Split]) -> str:
        """What was counted in these splits; of a streamed one, what will be read."""
        if isinstance(self.corpus, StreamedText) and "train" in splits:
            shards = self.corpus.shards()
            read = f"train: streamed from {shards:,} files of {self.corpus.place('train')}"
            if self.num_workers > shards:
                read += f"; data.num_workers={self.num_workers}, of which only {shards} have a file to read"
            return "\n".join([read, self.describe([split for split in splits if split != "train"])])
        for split in splits:
            sampler = self.sampler(split)
            report = replace(self.reports[split], batches=len(sampler), waste=sampler.padding_waste())
            if split != "train" and "train" in self._pairs:
                report = replace(report, seen=count_seen(self.pairs(split), self.pairs("train")))
            self.reports[split] = report
            self._warn(split)
        return report_table({split: self.reports[split] for split in splits})

    def _warn(self, split: Split) -> None:
        report = self.reports[split]
        if split != "train" and report.overlong_sources:
            _log.warning(
                "%s: %d sources are truncated to data.max_source_length=%d tokens",
                split, report.overlong_sources, self.limits.source,
            )  # fmt: skip
        if report.seen:
            _log.warning("%s: %d of %d sources are also in the training data", split, report.seen, report.pairs)
        if split != "train" and self.tokenizer_options.lowercase:
            capitals = sum(pair.targets[0] != pair.targets[0].lower() for pair in self.pairs(split))
            if capitals:
                _log.warning(
                    "%s: %d of %d references have capitals, which data.tokenizer.lowercase doesn't write: scores that "
                    "count case will be low",
                    split, capitals, report.pairs,
                )  # fmt: skip

    def text_loader(self, lines: Sequence[str]) -> DataLoader[Example]:
        """Batches of raw lines for prediction (see `core.data.loader.text_loader`)."""
        return text_loader(lines, self.source_tokenizer, self.eval_batch_budget, self.limits)


def _check_streamed(bpe_dropout: float, tokenizer: TokenizerOptions) -> None:
    """Refuses what a stream can't do."""
    options = (("bpe_dropout", bpe_dropout, "0"), ("tokenizer.own_words", tokenizer.own_words, "false"))
    for option, value, mend in options:
        if value:
            raise ConfigError(
                f"data.{option} is {value}, and StreamedText can't do that: set it to {mend}, or take a "
                "corpus that is copied to the cache (JsonlCorpus, say)"
            )

"""The datamodule of text-to-text tasks: corpus, tokenizers, batches."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from torch.utils.data import DataLoader

from core.data.collate import Example
from core.data.corpus import Corpus, Split, TextPair
from core.data.datamodule import Seq2SeqDataModule
from core.data.dropout import drop_merges
from core.data.encode import Limits, Overlong, TextDataset, encode_pairs, spread_references
from core.data.loader import text_loader
from core.data.report import SplitReport, count_seen, report_table
from core.data.sampler import Budget
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
        super().__init__(batch_tokens, eval_batch_tokens or batch_tokens, budget, num_workers, seed, tokenizers)
        if not 0 <= bpe_dropout < 1:
            raise ConfigError(f"data.bpe_dropout must be in [0, 1), got {bpe_dropout}")
        self.bpe_dropout = bpe_dropout
        self.corpus = corpus
        self.tokenizer_options = tokenizer
        self.limits = Limits(max_source_length, max_target_length, overlong, append_eos)
        self.cache_dir = cache_dir
        self.reports: dict[Split, SplitReport] = {}
        self._pairs: dict[Split, list[TextPair]] = {}

    @cached_property
    def vocabularies(self) -> Vocabularies:
        """Both tokenizers: read from `tokenizers`, or from the cache, or trained on the training split."""
        if self.tokenizers_path is not None:
            return read_vocabularies(Path(self.tokenizers_path))
        pairs = self.pairs("train")
        sources = [pair.source for pair in pairs]
        targets = [target for pair in pairs for target in pair.targets]
        return cached_vocabularies(sources, targets, self.tokenizer_options, self.cache_dir or default_cache())

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

    def pairs(self, split: Split) -> list[TextPair]:
        """The raw pairs of a split, read once; in training one target each.

        Raises:
            DataError: the data is missing or can't be used.
        """
        if split not in self._pairs:
            pairs = self.corpus.read(split)
            self._pairs[split] = spread_references(pairs) if split == "train" else pairs
        return self._pairs[split]

    def make_dataset(self, split: Split) -> TextDataset:
        """Cuts a split into tokens."""
        pairs, training = self.pairs(split), split == "train"
        sides = (self.source_tokenizer, self.target_tokenizer)
        dataset, report = encode_pairs(pairs, *sides, self.limits, training)
        if not len(dataset):
            raise DataError(f"the {split} split has no usable pair ({report.pairs} read, {report.dropped} dropped)")
        self.reports[split] = report
        if training and self.bpe_dropout:
            dataset = drop_merges(dataset, *sides, self.limits, self.bpe_dropout, self.seed)
        return dataset

    def describe(self, splits: Sequence[Split]) -> str:
        """What was counted in these splits."""
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

    def text_loader(self, lines: Sequence[str]) -> DataLoader[Example]:
        """Batches of raw lines for prediction (see `core.data.loader.text_loader`)."""
        return text_loader(lines, self.source_tokenizer, self.eval_batch_budget, self.limits)

"""The datamodule of question answering: questions, contexts in windows, answers as text and as spans."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from torch.utils.data import DataLoader

from core.columns import aligned
from core.data.collate import Example
from core.data.corpus import Split
from core.data.datamodule import Seq2SeqDataModule
from core.data.sampler import BucketBatchSampler, Budget
from core.data.vocabularies import Vocabularies, cached_vocabularies, default_cache, read_vocabularies
from core.errors import CheckpointError, ConfigError, DataError
from core.tokenization import TokenizerOptions, TrainedTokenizer
from tasks.qa.corpus import QaCorpus, QaExample
from tasks.qa.windows import WindowDataset, WindowOptions, WindowReport, make_windows

_log = logging.getLogger(__name__)
COLUMNS = ("split", "questions", "unanswerable", "no span", "cut q/a", "windows", "left out", "batches", "padding")


class QaData(Seq2SeqDataModule):
    """Batches of questions with windows of their contexts, by a budget of tokens.

    The batches serve both forms of the task: they have the answers as text and as spans.

    Args:
        corpus: where the questions come from.
        tokenizer: how to train the tokenizers, unless `tokenizers` gives them.
        tokenizers: a directory with trained ones, one JSON file for both sides, or one of our checkpoints.
        batch_tokens: the most tokens of a training batch on one rank, padding included.
        eval_batch_tokens: the same for validation, test and prediction; None for `batch_tokens`.
        budget: what is counted: each pair's longer side ("longest"), its source or its target.
        max_source_length: the most tokens of a source: question, window and three that separate them. Longer contexts
            are read in several windows, and the best answer of all of them counts.
        overlap: how many tokens of the context two neighbouring windows share.
        max_question_length: the most tokens of a question; what is beyond is cut off and counted.
        max_target_length: the most tokens of an answer, end token not counted.
        null_windows: train on windows without the answer too; they want no answer.
        num_workers: processes that make batches; 0 for none beside the trainer's own.
        seed: of the order of the training batches.
        cache_dir: where trained tokenizers are kept; None for $POLYSEQ_CACHE or ~/.cache/polyseq.

    Raises:
        ConfigError: an option is out of its range.
    """

    def __init__(
        self,
        corpus: QaCorpus,
        tokenizer: TokenizerOptions = TokenizerOptions(),  # noqa: B008 (it is frozen)
        tokenizers: Path | None = None,
        batch_tokens: int = 4096,
        eval_batch_tokens: int | None = None,
        budget: Budget = "longest",
        max_source_length: int = 384,
        overlap: int = 128,
        max_question_length: int = 64,
        max_target_length: int = 32,
        null_windows: bool = True,
        num_workers: int = 0,
        seed: int = 1,
        cache_dir: Path | None = None,
    ) -> None:
        super().__init__(batch_tokens, eval_batch_tokens or batch_tokens, budget, num_workers, seed, tokenizers)
        if tokenizer.own_words:
            raise ConfigError(
                "data.tokenizer.own_words isn't for questions: take kind bpe, or model.answer span, instead"
            )
        self.corpus = corpus
        self.tokenizer_options = tokenizer
        self.window_options = WindowOptions(max_source_length, overlap, max_question_length, max_target_length)
        self.null_windows = null_windows
        self.cache_dir = cache_dir
        self.reports: dict[Split, WindowReport] = {}
        self._examples: dict[Split, list[QaExample]] = {}

    @cached_property
    def vocabularies(self) -> Vocabularies:
        """Both tokenizers: read from `tokenizers`, or from the cache, or trained on the training split."""
        if self.tokenizers_path is not None:
            return read_vocabularies(Path(self.tokenizers_path))
        examples = self.examples("train")
        contexts = dict.fromkeys(example.context for example in examples)  # each once, in order
        sources = [*contexts, *(example.question for example in examples)]
        answers = [answer for example in examples for answer in example.answers[:1]]
        return cached_vocabularies(sources, answers, self.tokenizer_options, self.cache_dir or default_cache())

    @property
    def source_tokenizer(self) -> TrainedTokenizer:
        """Of questions and contexts."""
        tokenizer = self.vocabularies.source
        if tokenizer is None:
            raise CheckpointError(f"data.tokenizers: {self.tokenizers_path} has no tokenizer for the source's text")
        return tokenizer

    @property
    def source_size(self) -> int:
        """The number of source types: the first argument of a text encoder."""
        return len(self.source_tokenizer)

    def examples(self, split: Split) -> list[QaExample]:
        """The questions of a split, read once.

        Raises:
            DataError: the data is missing or can't be used.
        """
        if split not in self._examples:
            self._examples[split] = self.corpus.read(split)
        return self._examples[split]

    def make_dataset(self, split: Split) -> WindowDataset:
        """Cuts a split into windows of tokens."""
        examples, tokenizers = self.examples(split), (self.source_tokenizer, self.target_tokenizer)
        only = split == "train" and not self.null_windows
        dataset, report = make_windows(examples, *tokenizers, self.window_options, only_with_answer=only)
        if not len(dataset):
            raise DataError(f"the {split} split has no usable question ({report.questions} read)")
        self.reports[split] = report
        return dataset

    def describe(self, splits: Sequence[Split]) -> str:
        """What was counted in these splits."""
        rows = [COLUMNS, *(self._row(split, self.reports[split]) for split in splits)]
        for split in splits:
            if self.reports[split].cut_questions:
                _log.warning(
                    "%s: %d questions are cut to data.max_question_length=%d tokens",
                    split, self.reports[split].cut_questions, self.window_options.question,
                )  # fmt: skip
        return aligned(rows)

    def _row(self, split: Split, report: WindowReport) -> tuple[str, ...]:
        sampler = self.sampler(split)
        return (
            split,
            f"{report.questions:,}",
            f"{report.unanswerable:,}",
            f"{report.unlocated:,}",
            f"{report.cut_questions:,}/{report.cut_answers:,}",
            f"{report.windows:,}",
            f"{report.left_out:,}",
            f"{len(sampler):,}",
            f"{sampler.padding_waste():.1%}",
        )

    def question_loader(self, examples: Sequence[QaExample]) -> DataLoader[Example]:
        """Batches of questions for prediction, with ids from 0 in their order; each has at least one window."""
        dataset, report = make_windows(
            examples, self.source_tokenizer, self.target_tokenizer, self.window_options, answered=False
        )
        if report.cut_questions:
            _log.warning(
                "%d questions are cut to data.max_question_length=%d tokens",
                report.cut_questions, self.window_options.question,
            )  # fmt: skip
        sampler = BucketBatchSampler(
            dataset.source_lengths, dataset.source_lengths, self.eval_batch_budget, shuffle=False
        )
        return DataLoader(dataset, batch_sampler=sampler, collate_fn=dataset.collate)

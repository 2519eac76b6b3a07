"""The datamodule of speech: utterances, their samples, the tokens of their transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from core.audio.least import extended, least_samples
from core.audio.read import read_audio
from core.batch import Seq2SeqBatch
from core.data.check_audio import AudioLimits, AudioReport, OnBadExample, audio_table, check_utterances
from core.data.collate import Example, collate, pad_audio
from core.data.corpus import Split
from core.data.datamodule import Seq2SeqDataModule
from core.data.dataset import ExampleDataset, Integers
from core.data.encode import TokenTable
from core.data.speech import SpeechCorpus, Utterance
from core.data.unreadable import Allowance
from core.data.vocabularies import Vocabularies, cached_vocabularies, default_cache, read_vocabularies
from core.errors import ConfigError, DataError
from core.tokenization import TokenizerOptions, TrainedTokenizer

FRAMES = 100  # in a second: the unit of the batches' budget, in which rates and formats don't matter


class AudioDataset(ExampleDataset):
    """Utterances of one split, N of them.

    Args:
        utterances: where their sounds are, and what is said.
        samples: how long each is, in samples at `sample_rate`, (N,).
        tokenizer: of the transcripts.
        sample_rate: in Hz.
    """

    def __init__(
        self, utterances: Sequence[Utterance], samples: Integers, tokenizer: TrainedTokenizer, sample_rate: int
    ) -> None:
        self.utterances, self.sample_rate = utterances, sample_rate
        self.samples = np.maximum(samples, least_samples(sample_rate))
        eos, self.pad = tokenizer.specials.eos, tokenizer.specials.pad
        rows = tokenizer.encode_batch([utterance.text for utterance in utterances])
        self.targets = TokenTable([[*row, eos] for row in rows])

    @property
    def source_lengths(self) -> Integers:
        """In hundredths of a second."""
        frames: Integers = np.maximum(self.samples * FRAMES // self.sample_rate, 1)
        return frames

    @property
    def target_lengths(self) -> Integers:
        """In tokens."""
        return self.targets.lengths

    @property
    def ids(self) -> list[int]:
        """The utterances' numbers."""
        return [utterance.id for utterance in self.utterances]

    def name(self, index: int) -> str:
        """The utterance's file."""
        return self.utterances[index].audio.name

    def collate(self, examples: Sequence[Example]) -> Seq2SeqBatch:
        """Makes a batch of examples."""
        return collate(examples, pad_audio, self.pad)

    def __getitem__(self, index: int) -> Example:
        """Reads one utterance.

        Raises:
            DataError: its file is missing or damaged, or has changed since it was checked.
        """
        utterance = self.utterances[index]
        samples = extended(read_audio(utterance.audio, self.sample_rate), self.sample_rate)
        target = self.targets.tensor(index, self.epoch)
        return Example(utterance.id, samples, target, utterance.name, (utterance.text,))


class AudioDataModule(Seq2SeqDataModule):
    """Batches of utterances, by a budget of seconds. All files' headers are looked at before training begins.

    Args:
        corpus: where the utterances come from.
        tokenizer: how to train the tokenizer of the transcripts, unless `tokenizers` gives it.
        tokenizers: a directory with a trained one (target.json), its JSON file, or one of our checkpoints.
        sample_rate: what the model hears, in Hz; sounds of other rates are resampled.
        batch_seconds: the most sound of a training batch on one rank, padding included, in seconds.
        eval_batch_seconds: the same for validation, test and prediction; None for `batch_seconds`.
        min_seconds: shorter utterances aren't trained on.
        max_seconds: nor longer ones. In evaluation nothing is left out but what can't be read.
        on_bad_example: what to do with files that can't be read and transcripts that are empty: "raise" refuses to
            begin, and names them; "skip" leaves them out, counts them, and names the first.
        max_unreadable: how many of them may become unreadable while training goes on (a damaged part behind a header, a
            file that disappears): they are left out of their batches, and named; one more ends the run.
        num_workers: processes that read and make batches; 0 for none beside the trainer's own.
        seed: of the order of the training batches.
        cache_dir: where trained tokenizers are kept; None for $POLYSEQ_CACHE or ~/.cache/polyseq.

    Raises:
        ConfigError: an option is out of its range.
    """

    budget_options = ("batch_seconds", "eval_batch_seconds")

    def __init__(
        self,
        corpus: SpeechCorpus,
        tokenizer: TokenizerOptions = TokenizerOptions(kind="characters"),  # noqa: B008 (it is frozen)
        tokenizers: Path | None = None,
        sample_rate: int = 16000,
        batch_seconds: float = 60.0,
        eval_batch_seconds: float | None = None,
        min_seconds: float = 0.1,
        max_seconds: float = 30.0,
        on_bad_example: OnBadExample = "raise",
        max_unreadable: int = 0,
        num_workers: int = 0,
        seed: int = 1,
        cache_dir: Path | None = None,
    ) -> None:
        if batch_seconds <= 0 or (eval_batch_seconds is not None and eval_batch_seconds <= 0):
            raise ConfigError(f"data.batch_seconds must be above 0, got {batch_seconds} and {eval_batch_seconds}")
        if sample_rate < 1:
            raise ConfigError(f"data.sample_rate must be above 0 Hz, got {sample_rate}")
        self.eval_batch_seconds = eval_batch_seconds or batch_seconds
        budgets = [max(int(seconds * FRAMES), 1) for seconds in (batch_seconds, self.eval_batch_seconds)]
        super().__init__(budgets[0], budgets[1], "source", num_workers, seed, tokenizers)
        self.allowance = Allowance(max_unreadable)
        self.corpus = corpus
        self.tokenizer_options = tokenizer
        self.sample_rate = sample_rate
        self.limits = AudioLimits(min_seconds, max_seconds)
        self.on_bad_example: OnBadExample = on_bad_example
        self.cache_dir = cache_dir
        self.reports: dict[Split, AudioReport] = {}
        self._utterances: dict[Split, list[Utterance]] = {}

    @cached_property
    def vocabularies(self) -> Vocabularies:
        """The tokenizer of the transcripts: read from `tokenizers`, or from the cache, or trained."""
        if self.tokenizers_path is not None:
            return read_vocabularies(Path(self.tokenizers_path))
        texts = [utterance.text for utterance in self.utterances("train")]
        return cached_vocabularies(None, texts, self.tokenizer_options, self.cache_dir or default_cache())

    @property
    def source_size(self) -> int:
        """The sample rate: the first argument of what hears."""
        return self.sample_rate

    def utterances(self, split: Split) -> list[Utterance]:
        """All utterances of a split, read once.

        Raises:
            DataError: the corpus is missing or can't be used.
        """
        if split not in self._utterances:
            self._utterances[split] = self.corpus.read(split)
        return self._utterances[split]

    def speakers(self, split: Split) -> dict[int, str]:
        """Who speaks in each utterance of a split, by its number; empty where the corpus doesn't say."""
        return {utterance.id: utterance.speaker for utterance in self.utterances(split) if utterance.speaker}

    def make_dataset(self, split: Split) -> AudioDataset:
        """Checks the sounds of a split and cuts its transcripts into tokens."""
        limits = self.limits if split == "train" else None
        kept, samples, report = check_utterances(
            self.utterances(split), self.sample_rate, limits, self.on_bad_example, empty_is_bad=split == "train"
        )
        if not kept:
            raise DataError(f"the {split} split has no utterance that can be used\n{report}")
        self.reports[split] = report
        return AudioDataset(kept, samples, self.target_tokenizer, self.sample_rate)

    def describe(self, splits: Sequence[Split]) -> str:
        """What was counted in these splits."""
        return audio_table({split: self.reports[split] for split in splits})

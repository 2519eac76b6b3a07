"""The module of summarization: the shared one, with ROUGE and what it has to be read beside."""

from __future__ import annotations

import torch

from core.data.text_datamodule import TextDataModule
from core.data.vocabularies import Vocabularies
from core.generation import GenerationOptions
from core.generation.phrases import Phrases
from core.language_model.options import LanguageModelOptions
from core.metrics.base import CorpusMetric, MetricGroup
from core.metrics.extraction import Extraction
from core.metrics.rouge import ROUGE, SentenceBreak
from core.module import DecoderFactory, EncoderFactory, OptimizerFactory, Seq2SeqModule
from core.objectives import Objective
from core.optim import Schedule
from tasks.summarization.report import summary_report
from tasks.summarization.scoring import LeadROUGE, SummaryLength

BOOTSTRAP_DRAWS = 1000
SUMMARIES = GenerationOptions(beam_size=4, min_length=5, max_length=100, no_repeat_ngram=3)


class SummarizationModule(Seq2SeqModule):
    """Summarizes: ROUGE-L chooses the best checkpoint, as it counts whole summaries where ROUGE-2 counts few pairs.

    Args:
        source_size: the size of the encoder's input; the datamodule knows it.
        vocabularies: the tokenizers of both sides; the datamodule has them.
        encoder: made with the source's size.
        decoder: made with the target's vocabulary size and the encoder's width.
        objective: what a training step minimises.
        optimizer: made with the parameters that are trained.
        schedule: of its learning rate.
        generation: how `validate`, `test` and `predict` write; the validations during `fit` do it greedily. Lengths
            and n-grams are counted in tokens: where a name takes several, `no_repeat_ngram` must be longer than it.
        phrases: what the summaries begin with, contain or don't contain; the validations during `fit` ignore it.
        lead: n of LEAD-n, the first n sentences of a document, whose scores stand beside the model's.
        sentences: where rougeLsum's sentences end: at a "newline", or also at full stops ("punctuation"), which fits
            what a tokenizer that collapses white space writes.
        tie_embeddings: the source's and the target's embeddings are one table (and the head with them, where the
            decoder ties it).
        skip_patience: how many updates in a row may be skipped for not being finite.
        language_model: what judges what is written too; for `validate`, `test` and `predict`, not for `fit`.

    Raises:
        ConfigError: `lead` is below 1.
    """

    task = "summarization"
    monitor, monitor_mode = "val/rougeL", "max"

    def __init__(
        self,
        source_size: int,
        vocabularies: Vocabularies,
        encoder: EncoderFactory,
        decoder: DecoderFactory,
        objective: Objective | None = None,
        optimizer: OptimizerFactory = lambda parameters: torch.optim.AdamW(parameters, lr=1e-3),
        schedule: Schedule = Schedule(),  # noqa: B008 (frozen)
        generation: GenerationOptions = SUMMARIES,
        phrases: Phrases = Phrases(),  # noqa: B008 (frozen)
        lead: int = 3,
        sentences: SentenceBreak = "punctuation",
        tie_embeddings: bool = False,
        skip_patience: int = 20,
        language_model: LanguageModelOptions = LanguageModelOptions(),  # noqa: B008 (frozen)
    ) -> None:
        super().__init__(
            source_size,
            vocabularies,
            encoder,
            decoder,
            objective,
            optimizer,
            schedule,
            generation,
            phrases,
            tie_embeddings,
            skip_patience,
            language_model,
        )
        self.beginnings = LeadROUGE(lead, sentences)
        self.sentences: SentenceBreak = sentences

    def make_metric(self, stage: str) -> CorpusMetric:
        """ROUGE while training; LEAD, lengths, what is copied and an interval where a checkpoint is scored."""
        if stage == "fit":
            return MetricGroup.of(ROUGE(self.sentences), SummaryLength())
        self.beginnings.reset()
        return MetricGroup.of(
            ROUGE(self.sentences, n_bootstrap=BOOTSTRAP_DRAWS), self.beginnings, SummaryLength(), Extraction()
        )

    def report(self) -> str:
        """The model beside LEAD and the references, what wasn't read of the documents, the best and the worst."""
        assert self.metric is not None
        table = summary_report(self.metric.examples, self.beginnings.count, self.sentences)
        return "\n\n".join(filter(None, [self._unread(), table]))

    def _unread(self) -> str:
        """How many documents of the split are longer than what was read of them."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, TextDataModule) or self.scored not in data.reports:
            return ""
        counts = data.reports[self.scored]
        return (
            f"{counts.overlong_sources:,} of {counts.pairs:,} documents have more than the {data.limits.source} tokens "
            "that were read of them (data.max_source_length)"
        )

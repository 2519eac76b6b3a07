"""The module of question answering: the shared one, which writes answers with its decoder or points at spans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

from core.batch import Seq2SeqBatch, Source
from core.data.vocabularies import Vocabularies
from core.decoders.base import Decoder
from core.distributed import union_over_ranks
from core.encoders.base import Encoder
from core.errors import CheckpointError, ConfigError
from core.generation import GenerationOptions, Hypothesis
from core.generation.phrases import Phrases
from core.heads import SpanHead
from core.metrics.base import CorpusMetric, MetricGroup
from core.metrics.squad import Doubted, SquadMetric, best_threshold, scores_of
from core.module import SAMPLES, DecoderFactory, EncoderFactory, OptimizerFactory, Seq2SeqModule
from core.objectives import CrossEntropy, Loss, Objective
from core.optim import Schedule
from core.seq2seq import EncoderDecoder
from core.span.batch import SpanBatch
from core.span.model import SpanModel, SpanObjective
from core.span.search import Spans, best_spans
from tasks.qa.answers import QuestionAnswers, WindowAnswers, merge, pointed, written
from tasks.qa.data import QaData
from tasks.qa.report import answer_report

Form = Literal["span", "generate"]
FIT_SPANS = 1  # how many answers a window gives in the validations during `fit`


class QaModule(Seq2SeqModule):
    """Answers questions about a text: F1 chooses the best checkpoint.

    Args:
        source_size: the size of the encoder's input; the datamodule knows it.
        vocabularies: the tokenizers of both sides; the datamodule has them.
        encoder: made with the source's size. It reads `bos question eos window eos`.
        decoder: made with the target's vocabulary size and the encoder's width; not made where answers are spans.
        answer: "generate" writes the answer with the decoder; "span" points at its first and last token.
        unanswerable: there may be no answer. What its score must be beyond the best answer's is chosen at each
            validation, for the best F1, and kept in the checkpoint.
        max_answer_length: the most tokens of a span.
        objective: what a training step minimises; None for the usual one of the form.
        optimizer: made with the parameters that are trained.
        schedule: of its learning rate.
        generation: how answers are written; `n_best` is how many are given in either form.
        phrases: what written answers begin with, contain or don't contain.
        tie_embeddings: the source's and the target's embeddings are one table.
        skip_patience: how many updates in a row may be skipped for not being finite.

    Raises:
        ConfigError: options that contradict the form.
    """

    task = "qa"
    monitor, monitor_mode = "val/f1", "max"
    null_threshold: Tensor

    def __init__(
        self,
        source_size: int,
        vocabularies: Vocabularies,
        encoder: EncoderFactory,
        decoder: DecoderFactory,
        answer: Form = "generate",
        unanswerable: bool = False,
        max_answer_length: int = 30,
        objective: Objective | None = None,
        optimizer: OptimizerFactory = lambda parameters: torch.optim.AdamW(parameters, lr=1e-3),
        schedule: Schedule = Schedule(),  # noqa: B008 (frozen)
        generation: GenerationOptions = GenerationOptions(),  # noqa: B008 (frozen)
        phrases: Phrases = Phrases(),  # noqa: B008 (frozen)
        tie_embeddings: bool = False,
        skip_patience: int = 20,
    ) -> None:
        check_form(answer, objective, tie_embeddings, max_answer_length)
        super().__init__(
            source_size,
            vocabularies,
            encoder,
            span_head if answer == "span" else decoder,
            objective or (SpanObjective() if answer == "span" else CrossEntropy(label_smoothing=0.0)),
            optimizer,
            schedule,
            generation,
            phrases,
            tie_embeddings,
            skip_patience,
        )
        self.unanswerable = unanswerable
        self.max_answer_length = max_answer_length
        self.scoring: Objective = SpanObjective() if answer == "span" else CrossEntropy(label_smoothing=0.0)
        self.register_buffer("null_threshold", torch.zeros(()))
        self._chosen: Tensor | None = None
        self._found: dict[tuple[int, int], WindowAnswers] = {}
        self._asked: dict[int, tuple[str, tuple[str, ...]]] = {}

    def join(self, encoder: Encoder, decoder: Decoder | SpanHead) -> EncoderDecoder:
        """Makes the model of its parts."""
        return SpanModel(encoder, decoder) if isinstance(decoder, SpanHead) else super().join(encoder, decoder)

    def make_metric(self, stage: str) -> CorpusMetric:
        """Exact match and F1; where the corpus has kinds of questions, the accuracy of each too."""
        squad = SquadMetric("2.0" if self.unanswerable else "1.1")
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, QaData) and data.corpus.has_kinds:
            from tasks.qa.metrics import AccuracyByTask

            titles = [example.title for example in data.examples(self.scored)]
            return MetricGroup.of(squad, AccuracyByTask(titles))
        return squad

    def report(self) -> str:
        """Where the answers are right, in which way the others are wrong, and some of these in their sentences."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if self.metric is None or not isinstance(data, QaData):
            return ""
        return answer_report(self.metric.examples, data.examples(self.scored), "2.0" if self.unanswerable else "1.1")

    # Answers

    def answer_windows(self, batch: SpanBatch, draft: bool = False) -> list[WindowAnswers]:
        """Answers B questions, each from its window alone.

        Args:
            batch: questions and windows.
            draft: in the cheapest way, one answer for each.
        """
        count = FIT_SPANS if draft else self.generation.n_best
        if isinstance(self.model, SpanModel):
            spans = self.find(batch.source, count)
            rows = enumerate(batch.windows)
            return [pointed(window, spans, row, self.unanswerable) for row, window in rows]
        found = self.draft(batch.source) if draft else self.write(batch.source)
        decode = self.target_tokenizer.decode
        texts = [[(decode(list(each.tokens)), each) for each in hypotheses] for hypotheses in found]
        nulls = self.silence(batch.source) if self.unanswerable else [float("-inf")] * len(batch)
        return [written(hypotheses, null) for hypotheses, null in zip(texts, nulls, strict=True)]

    def find(self, source: Source, count: int) -> Spans:
        """Points at the best spans of B windows."""
        assert isinstance(self.model, SpanModel)
        with torch.inference_mode():
            start, end = self.model.score(source)
            return best_spans(start, end, self.max_answer_length, count)

    def silence(self, source: Source) -> list[float]:
        """The log-probability of writing nothing, for B windows."""
        begin = torch.full((len(source), 1), self.specials.bos, device=source.values.device)
        with torch.inference_mode():
            logits = self.model(source, begin)[:, 0].float()
        silent: list[float] = logits.log_softmax(-1)[:, self.specials.eos].tolist()
        return silent

    def write(self, source: Source) -> list[list[Hypothesis]]:
        """Answers B questions, each from its window alone, in tokens of the target or, for spans, of the source."""
        if not isinstance(self.model, SpanModel):
            return super().write(source)
        spans = self.find(source, self.generation.n_best)
        rows = zip(spans.scores.tolist(), spans.starts.tolist(), spans.ends.tolist(), spans.total.tolist(), strict=True)
        return [
            [
                Hypothesis(tuple(source.values[row, start : end + 1].tolist()), score, score - total, True)
                for score, start, end in zip(scores, starts, ends, strict=True)
                if score > float("-inf")
            ]
            for row, (scores, starts, ends, total) in enumerate(rows)
        ]

    def add_member(self, member: Seq2SeqModule, name: str) -> None:
        """Lets another model that writes count as much as this one.

        Raises:
            CheckpointError: one of the two points at spans, or they have other vocabularies.
        """
        if isinstance(self.model, SpanModel) or isinstance(member.model, SpanModel):
            raise CheckpointError(f"ensemble: {name}: models that point at spans don't vote; only those that write do")
        super().add_member(member, name)

    # Scoring

    def _begin_scoring(self, stage: str) -> None:
        super()._begin_scoring(stage)
        self._found, self._asked = {}, {}

    def _evaluate(self, batch: Seq2SeqBatch) -> None:
        assert isinstance(batch, SpanBatch)
        loss: Loss = self.scoring(self.model, batch, self.specials, self.global_step)
        numbers = tuple(window.number for window in batch.windows)
        self._scores[numbers] = torch.stack([loss.nll.double(), loss.tokens.double()])
        found = self.answer_windows(batch, draft=self.trainer.state.fn == TrainerFn.FITTING)
        for window, answers in zip(batch.windows, found, strict=True):
            self._found[window.question, window.number] = answers
        for id_, question, references in zip(batch.ids, batch.source_texts, batch.references, strict=True):
            self._asked[id_] = (question, references)

    def _log_scores(self, prefix: str) -> None:
        """Chooses each question's best answer over all windows, wherever they were read, and scores these."""
        assert self.metric is not None
        merged, asked = self.merged(), union_over_ranks(self._asked)
        if self.unanswerable and prefix == "val":
            self.null_threshold.fill_(threshold_of(merged, asked))
            self._chosen = self.null_threshold.clone()
        texts = {id_: found.best(float(self.null_threshold)) for id_, found in merged.items()}
        for id_ in sorted(texts):
            question, references = asked[id_]
            self.metric.update([id_], [texts[id_]], [references], [question])
            if id_ < SAMPLES:
                self.samples.append((question, references[0], texts[id_]))
        super()._log_scores(prefix)
        if self.unanswerable:
            self.log(f"{prefix}/null_threshold", float(self.null_threshold))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what the weights alone don't tell, and the threshold as it was chosen.

        Averaged weights (`fit.ema_decay`) come with an average of the buffers too, and validation has the averaged ones
        in place only until its scores are made up.
        """
        super().on_save_checkpoint(checkpoint)
        if self._chosen is not None:
            checkpoint["state_dict"]["null_threshold"] = self._chosen.clone()

    def merged(self) -> dict[int, QuestionAnswers]:
        """The answers to all questions of the split that is scored, by id: all ranks' windows together."""
        windows: dict[int, list[WindowAnswers]] = defaultdict(list)
        for (question, _), found in sorted(union_over_ranks(self._found).items(), key=lambda item: item[0]):
            windows[question].append(found)
        return {question: merge(found, self.generation.n_best) for question, found in windows.items()}


def threshold_of(found: Mapping[int, QuestionAnswers], asked: Mapping[int, tuple[str, Sequence[str]]]) -> float:
    """The threshold with the best F1."""
    doubted = []
    for id_, answers in found.items():
        references = asked[id_][1]
        text = answers.answers[0].text if answers.answers else ""
        doubted.append(Doubted(answers.margin, scores_of(text, references, "2.0")[1], any(references)))
    return best_threshold(doubted)[0]


def span_head(vocab_size: int, memory_size: int) -> Any:
    """Makes what stands in the decoder's place where answers are spans."""
    return SpanHead(memory_size)


def check_form(answer: Form, objective: Objective | None, tied: bool, longest: int) -> None:
    """Raises ConfigError where options contradict the form of the answers."""
    if answer not in ("span", "generate"):
        raise ConfigError(f"model.answer must be span or generate, got {answer!r}")
    if longest < 1:
        raise ConfigError(f"model.max_answer_length must be at least 1, got {longest}")
    if answer == "span" and tied:
        raise ConfigError("model.tie_embeddings: with answer: span there is no decoder to tie with; set it to false")
    if objective is not None and isinstance(objective, SpanObjective) != (answer == "span"):
        raise ConfigError(
            f"model.objective {type(objective).__name__} doesn't train answer: {answer}; leave it out to have the "
            "usual one of each form"
        )

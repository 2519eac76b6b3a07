"""The module of dialogue: the shared one, with dialogue's metrics, and repetition control against the history."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import torch

from core.batch import Source, TextBatch
from core.data.vocabularies import Vocabularies
from core.distributed import union_over_ranks
from core.errors import ConfigError, PolyseqError
from core.generation import GenerationOptions, Hypothesis, generate
from core.generation.history import NoRepeatHistory, earlier_turns
from core.generation.phrases import Phrases
from core.language_model.options import LanguageModelOptions
from core.metrics.base import CorpusMetric, MetricGroup
from core.metrics.dialogue import DialogueExactMatch, Distinct, ReplyLength, TopReply, WordF1, WordPerplexity
from core.metrics.translation import BLEU, ExactMatch
from core.module import DecoderFactory, EncoderFactory, OptimizerFactory, Seq2SeqModule
from core.objectives import Objective
from core.optim import Schedule
from tasks.dialogue.baselines import compare
from tasks.dialogue.data import DialogueData
from tasks.dialogue.dialogues import SYMBOLS

BOOTSTRAP_DRAWS = 1000


@dataclass(frozen=True)
class RepetitionOptions:
    """What keeps a reply from repeating earlier turns; within the reply there is `generation.no_repeat_ngram`.

    Attributes:
        history_ngram: n-grams of this size in the speaker's own earlier turns are avoided; 0 for no such rule.
        history_penalty: what is taken off the log-probability of a token that would end one; None forbids it.
    """

    history_ngram: int = 0
    history_penalty: float | None = None

    def __post_init__(self) -> None:
        if self.history_ngram < 0:
            raise ConfigError(f"repetition.history_ngram must be at least 0, got {self.history_ngram}")
        if self.history_penalty is not None and not 0 < self.history_penalty < inf:
            raise ConfigError(f"repetition.history_penalty must be above 0, or null, got {self.history_penalty}")


class DialogueModule(Seq2SeqModule):
    """Replies: the loss on the validation split chooses the best checkpoint, as no score of single replies does.

    Args:
        source_size: the source's number of types; the datamodule knows it.
        vocabularies: the tokenizers of both sides; the datamodule has them.
        encoder: made with the source's size.
        decoder: made with the target's vocabulary size and the encoder's width.
        objective: what a training step minimises.
        optimizer: made with the parameters that are trained.
        schedule: of its learning rate.
        generation: how `validate`, `test`, `predict` and `chat` write.
        repetition: what keeps them from repeating earlier turns.
        phrases: what the replies begin with, contain or don't contain.
        tie_embeddings: the source's and the target's embeddings are one table.
        skip_patience: how many updates in a row may be skipped for not being finite.
        language_model: what judges what is written too; for `validate`, `test` and `predict`, not for `fit`.

    Raises:
        ConfigError: parts that don't fit each other.
    """

    task = "dialogue"

    def __init__(
        self,
        source_size: int,
        vocabularies: Vocabularies,
        encoder: EncoderFactory,
        decoder: DecoderFactory,
        objective: Objective | None = None,
        optimizer: OptimizerFactory = lambda parameters: torch.optim.AdamW(parameters, lr=1e-3),
        schedule: Schedule = Schedule(),  # noqa: B008 (frozen)
        generation: GenerationOptions = GenerationOptions(),  # noqa: B008 (frozen)
        repetition: RepetitionOptions = RepetitionOptions(),
        phrases: Phrases = Phrases(),  # noqa: B008 (frozen)
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
        self.repetition = repetition
        check_repetition(repetition, vocabularies)
        self.nll = 0.0

    def make_metric(self, stage: str) -> CorpusMetric:
        """Few numbers while training; all of them where a checkpoint is scored."""
        perplexity = WordPerplexity(lambda: self.nll)
        if stage == "fit":
            return MetricGroup.of(perplexity, BLEU(), WordF1(), Distinct(), TopReply())
        metrics: list[CorpusMetric] = [perplexity, BLEU(n_bootstrap=BOOTSTRAP_DRAWS), WordF1(), Distinct()]
        metrics += [ReplyLength(), TopReply(), ExactMatch()]
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if isinstance(data, DialogueData):
            numbers = data.dialogue_numbers(self.scored)
            if len(set(numbers)) < len(numbers):  # else it would be exact_match again
                metrics.append(DialogueExactMatch(numbers))
        return MetricGroup(metrics)

    def _log_scores(self, prefix: str) -> None:
        sums = union_over_ranks({ids: tuple(pair.tolist()) for ids, pair in self._scores.items()}).values()
        self.nll = sum(nll for nll, _ in sums)
        super()._log_scores(prefix)

    def write(self, source: Source) -> list[list[Hypothesis]]:
        """Writes replies that keep to the repetition options."""
        if not self.repetition.history_ngram:
            return super().write(source)
        assert isinstance(source, TextBatch)
        symbols = tuple(self.target_tokenizer.symbol_id(symbol) for symbol in SYMBOLS.values())
        earlier = earlier_turns(source, symbols, self.specials.eos)
        penalty = inf if self.repetition.history_penalty is None else self.repetition.history_penalty
        rule = NoRepeatHistory(earlier, self.repetition.history_ngram, penalty, source.values.device)
        models = [self.model, *self.members]
        return generate(models, source, self.generation, self.specials, self.constraints, self.scorers, rules=(rule,))

    def report(self) -> str:
        """The model's scores beside those of the baselines, and its most frequent replies."""
        assert self.metric is not None
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, DialogueData):
            return ""
        try:
            return compare(self.metric.examples, data.exchanges("train"), data.exchanges(self.scored))
        except PolyseqError as error:
            return f"no baselines: the training split can't be read: {error}\n"


def check_repetition(options: RepetitionOptions, vocabularies: Vocabularies) -> None:
    """Refuses a comparison of tokens that mean different things.

    Raises:
        ConfigError: the two sides have vocabularies of their own.
    """
    if options.history_ngram and vocabularies.source is not vocabularies.target:
        raise ConfigError(
            "repetition.history_ngram compares tokens of both sides, which have vocabularies of their own: set "
            "data.tokenizer.joint to true, or history_ngram to 0"
        )

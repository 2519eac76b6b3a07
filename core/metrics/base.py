"""Corpus metrics gather what was generated over batches and ranks, and score it once, as one corpus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

from torch import distributed
from typing_extensions import Self

from core.distributed import union_over_ranks, world_size
from core.errors import ConfigError


@dataclass(frozen=True)
class Scored:
    """One generated target beside what it should have been.

    Attributes:
        id: the example's number in its corpus.
        hypothesis: what the model wrote.
        references: the right targets, one or more.
        source: the raw source (for other modalities its name); empty where the caller has none.
    """

    id: int
    hypothesis: str
    references: tuple[str, ...]
    source: str = ""


@dataclass(frozen=True)
class Score:
    """A number, and all that somebody needs to get the same one.

    Attributes:
        value: the score; NaN when there was nothing to score.
        signature: the package with its version and the options, in that package's own words.
    """

    value: float
    signature: str


class CorpusMetric(ABC):
    """Scores a whole corpus, never a batch: an average of batch scores is another number.

    Ranks may see examples twice (evaluation is padded to equal numbers of batches) or none at all: the score is that
    of one process which saw each example once. Subclasses keep the contract that `tests.contracts.metric` tests.

    Attributes:
        examples: what the last `compute` scored: all ranks' examples, each once, ordered by id; empty before it.
    """

    def __init__(self) -> None:
        self._added: dict[int, Scored] = {}
        self._scores: dict[str, Score] = {}
        self.examples: list[Scored] = []

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The names of the numbers that `score` returns, known before anything is scored."""

    @abstractmethod
    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Scores a corpus of at least one example, each there once, ordered by id; one score for each name."""

    def update(
        self,
        ids: Sequence[int],
        hypotheses: Sequence[str],
        references: Sequence[Sequence[str]],
        sources: Sequence[str] = (),
    ) -> None:
        """Adds a batch; of examples with the same id the first counts.

        Args:
            ids: the examples' numbers in their corpus, B of them.
            hypotheses: what the model wrote, B texts.
            references: one or more right targets for each of the B examples.
            sources: the raw sources, B texts, or none at all.

        Raises:
            ValueError: the four differ in length.
        """
        for id_, hypothesis, targets, source in zip(
            ids, hypotheses, references, sources or [""] * len(ids), strict=True
        ):
            self._added.setdefault(id_, Scored(id_, hypothesis, tuple(targets), source))

    def compute(self) -> dict[str, float]:
        """Scores all that was added since the last reset, on all ranks: every rank gets the same numbers.

        Where nothing was added, each number is NaN. Every rank has to call this, as it waits for the others.
        """
        self.examples = self._gather()
        self._scores = _on_rank_zero(self)
        return {name: score.value for name, score in self._scores.items()}

    def signatures(self) -> dict[str, str]:
        """How each number of the last `compute` came about: package, version and options; empty before it."""
        return {name: score.signature for name, score in self._scores.items()}

    def reset(self) -> None:
        """Forgets all examples and scores."""
        self._added, self._scores, self.examples = {}, {}, []

    def _gather(self) -> list[Scored]:
        """All ranks' examples, each once, ordered by id: bootstrap resampling draws by position."""
        examples = union_over_ranks(self._added)
        return [examples[id_] for id_ in sorted(examples)]

    def score_or_nan(self) -> dict[str, Score]:
        """Scores `examples`, which may be none."""
        return self.score(self.examples) if self.examples else {name: Score(nan, "no examples") for name in self.names}


class MetricGroup(CorpusMetric):
    """Several metrics over the same texts, which are kept and gathered once.

    Raises:
        ConfigError: two metrics give numbers of the same name.
    """

    def __init__(self, metrics: Sequence[CorpusMetric]) -> None:
        super().__init__()
        self.metrics = tuple(metrics)
        doubled = sorted({name for name in self.names if self.names.count(name) > 1})
        if doubled:
            raise ConfigError(f"metrics: {', '.join(doubled)} is given by two metrics; leave one of them out")

    @classmethod
    def of(cls, *metrics: CorpusMetric) -> Self:
        """Makes a group of the metrics given one by one."""
        return cls(metrics)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all members' numbers, in the members' order."""
        return tuple(name for metric in self.metrics for name in metric.names)

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        """Scores the corpus with each member."""
        return {name: score for metric in self.metrics for name, score in metric.score(examples).items()}


def _on_rank_zero(metric: CorpusMetric) -> dict[str, Score]:
    """Scores on one rank and tells the others, its failure too: they would wait for ever."""
    if world_size() == 1:
        return metric.score_or_nan()
    outcome: list[dict[str, Score] | Exception] = [{}]
    if distributed.get_rank() == 0:
        try:
            outcome = [metric.score_or_nan()]
        except Exception as error:
            outcome = [error]
    distributed.broadcast_object_list(outcome, src=0)
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]

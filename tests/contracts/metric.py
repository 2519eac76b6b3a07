"""What every corpus metric keeps: one corpus, whatever the ranks, the batches and the duplicates."""

from __future__ import annotations

import multiprocessing
import pickle
from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed

from core.metrics.base import CorpusMetric, Scored

EXAMPLES = (
    Scored(3, "der Hund schläft im Garten .", ("der Hund schläft im Garten .",), "the dog sleeps in the garden ."),
    Scored(0, "Eine Katze sitzt auf dem Dach", ("Eine Katze sitzt auf einem Dach",), "A cat sits on a roof"),
    Scored(7, "", ("Zwei Kinder spielen",), "Two children play"),
    Scored(1, "drei Männer gehen über die Straße", ("Drei Männer überqueren die Straße",), "Three men cross the road"),
    Scored(12, "ein Zug fährt nach Bonn ab", ("ein Zug fährt nach Bonn",), "a train leaves for Bonn"),
)


def update(metric: CorpusMetric, examples: Sequence[Scored]) -> CorpusMetric:
    """Adds examples as one batch."""
    metric.update(
        [example.id for example in examples],
        [example.hypothesis for example in examples],
        [example.references for example in examples],
        [example.source for example in examples],
    )
    return metric


def _rank(rank: int, metric: CorpusMetric, shares: Sequence[Sequence[Scored]], folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=len(shares))
    try:
        outcome: Any = (update(metric, shares[rank]).compute(), metric.signatures())
    except ValueError as error:
        outcome = error
    Path(folder, f"{rank}.pickle").write_bytes(pickle.dumps(outcome))
    distributed.destroy_process_group()


def compute_on_ranks(metric: CorpusMetric, shares: Sequence[Sequence[Scored]], folder: Path) -> list[Any]:
    """Computes with one process for each share: what each returned, (values, signatures) or its ValueError."""
    folder.mkdir()
    context = multiprocessing.get_context("fork")
    ranks = [context.Process(target=_rank, args=(rank, metric, shares, str(folder))) for rank in range(len(shares))]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(timeout=60)
    assert [process.exitcode for process in ranks] == [0] * len(shares)
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(len(shares))]


class MetricContract(ABC):
    """Inherit it, and say how the metric is made."""

    examples: tuple[Scored, ...] = EXAMPLES

    @abstractmethod
    def make(self) -> CorpusMetric:
        """Makes a new metric."""

    @pytest.fixture
    def whole(self) -> dict[str, float]:
        return update(self.make(), self.examples).compute()

    def test_names_and_signatures_cover_the_scores(self) -> None:
        metric = self.make()
        assert metric.signatures() == {}
        scores = update(metric, self.examples).compute()
        assert tuple(scores) == metric.names == tuple(metric.signatures())
        assert all(metric.signatures().values())

    def test_batches_and_their_order_do_not_matter(self, whole: dict[str, float]) -> None:
        metric = self.make()
        for example in reversed(self.examples):
            update(metric, [example])
        assert metric.compute() == whole

    def test_duplicates_count_once(self, whole: dict[str, float]) -> None:
        metric = update(update(self.make(), self.examples), self.examples[:2])
        assert metric.compute() == whole
        assert metric.examples == sorted(self.examples, key=lambda example: example.id)

    def test_reset_forgets(self, whole: dict[str, float]) -> None:
        metric = update(self.make(), self.examples[:2])
        metric.compute()
        metric.reset()
        assert metric.signatures() == {}
        assert metric.examples == []
        assert update(metric, self.examples).compute() == whole

    def test_no_examples_give_nan(self) -> None:
        scores = self.make().compute()
        assert tuple(scores) == self.make().names
        assert all(isnan(score) for score in scores.values())

    def test_two_ranks_give_the_one_process_number(self, whole: dict[str, float], tmp_path: Path) -> None:
        uneven = [self.examples[:4], self.examples[2:]]  # with two examples on both ranks
        first, second = compute_on_ranks(self.make(), uneven, tmp_path / "ranks")
        assert first == second
        assert first[0] == whole

    def test_a_rank_may_have_nothing(self, whole: dict[str, float], tmp_path: Path) -> None:
        first, second = compute_on_ranks(self.make(), [(), self.examples], tmp_path / "ranks")
        assert first == second
        assert first[0] == whole

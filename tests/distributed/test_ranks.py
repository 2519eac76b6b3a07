"""Two ranks train, score and skip as one process does."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch import Trainer
from torch import Tensor

from core.batch import Seq2SeqBatch
from core.data.corpus import Split
from core.data.sampler import BucketBatchSampler
from core.data.text_datamodule import TextDataModule
from core.decoders.transformer import TransformerDecoder
from core.encoders.transformer import TransformerEncoder
from core.generation import GenerationOptions
from core.metrics.base import CorpusMetric, MetricGroup
from core.metrics.translation import ChrF, ExactMatch
from core.module import Seq2SeqModule
from core.objectives import CrossEntropy, Loss, Objective
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials, TokenizerOptions
from tests.core.data.test_datamodule import Sentences
from tests.distributed.runs import Union

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

STEPS = 10
Weights = dict[str, Tensor]


class Data(TextDataModule):
    """A datamodule that can give one process the whole of two ranks' steps."""

    united_steps = 0

    def sampler(self, split: Split) -> BucketBatchSampler:
        own = super().sampler(split)
        if split != "train" or not self.united_steps:
            return own
        union = Union(own.source_lengths, own.target_lengths, self.batch_budget, seed=self.seed, world_size=2)
        union.together = self.united_steps
        return union


class Module(Seq2SeqModule):
    """Leaves each rank's weights and number of target tokens behind."""

    def make_metric(self, stage: str) -> CorpusMetric:
        return MetricGroup.of(ChrF(), ExactMatch())

    def on_train_batch_start(self, batch: Seq2SeqBatch, batch_idx: int) -> None:
        assert batch.target is not None
        self.counts = [*getattr(self, "counts", []), int(batch.target.lengths.sum())]

    def on_fit_end(self) -> None:
        left = {"weights": self.state_dict(), "tokens": self.counts, "skipped": self.guard.skipped}
        torch.save(left, Path(self.trainer.default_root_dir, f"rank{self.global_rank}.pt"))


class InfiniteOnce(Objective):
    """Cross-entropy that is infinite at one step, on the last rank only."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step, self.inner = step, CrossEntropy(0.0)

    def forward(self, model: EncoderDecoder, batch: Seq2SeqBatch, specials: Specials, step: int) -> Loss:
        loss: Loss = self.inner(model, batch, specials, step)
        if step != self.step or (dist.is_initialized() and dist.get_rank() == 0):
            return loss
        return Loss(loss.total * torch.inf, loss.nll, loss.tokens)


def make_data(cache: Path, united_steps: int = 0, val: int = 13) -> Data:
    data = Data(Sentences(120, val, 5), TokenizerOptions(kind="bpe", vocab_size=300), batch_tokens=120, cache_dir=cache)
    data.united_steps = united_steps
    return data


def make_module(data: TextDataModule, objective: Objective | None = None) -> Module:
    torch.manual_seed(3)
    size: dict[str, Any] = {"d_model": 16, "num_layers": 1, "num_heads": 2, "ffn_size": 32, "dropout": 0.0}
    return Module(
        data.source_size,
        data.vocabularies,
        partial(TransformerEncoder, **size),
        partial(TransformerDecoder, **size),
        objective or CrossEntropy(label_smoothing=0.1),
        # Not Adam: it doesn't see the gradient's scale, and turns the rounding of a zero gradient into whole steps.
        partial(torch.optim.SGD, lr=0.5, momentum=0.9),
        generation=GenerationOptions(max_length=12),
    )


def make_trainer(folder: Path, ranks: int, **options: Any) -> Trainer:
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        devices=ranks,
        strategy="ddp_fork" if ranks > 1 else "auto",
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **options,
    )


def fit(
    folder: Path, ranks: int, data: Data, objective: Objective | None = None, max_steps: int = STEPS, **options: Any
) -> list[dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    options |= {"max_epochs": -1, "max_steps": max_steps, "gradient_clip_val": 1.0, "limit_val_batches": 0}
    trainer = make_trainer(folder, ranks, **options)
    trainer.fit(make_module(data, objective), datamodule=data)
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(ranks)]


def assert_same(left: Weights, right: Weights, tolerance: float) -> None:
    assert left.keys() == right.keys()
    for name, weight in left.items():
        furthest = float((weight - right[name]).abs().max())
        assert furthest <= tolerance, f"{name} differs by {furthest}"


@pytest.mark.parametrize(("ranks", "accumulated"), [(2, 1), (2, 2), (1, 2)])
def test_ranks_and_accumulation_train_as_one_process_with_the_whole_batch(
    tmp_path: Path, ranks: int, accumulated: int
) -> None:
    data = make_data(tmp_path)
    start = {name: weight.clone() for name, weight in make_module(data).state_dict().items()}
    if ranks == 2:
        whole = make_data(tmp_path, united_steps=accumulated)
        parts = fit(tmp_path / "parts", 2, data, accumulate_grad_batches=accumulated)
        assert parts[0]["tokens"] != parts[1]["tokens"], "the test is about ranks with unequal numbers of tokens"
        assert_same(parts[0]["weights"], parts[1]["weights"], 0.0)
    else:  # the parts are two ranks' steps, taken one after the other
        whole = make_data(tmp_path, united_steps=2)
        data.united_steps = 1
        parts = fit(tmp_path / "parts", 1, data, accumulate_grad_batches=2)
    (one,) = fit(tmp_path / "whole", 1, whole)
    assert sum(one["tokens"]) == sum(sum(part["tokens"]) for part in parts)
    assert_same(parts[0]["weights"], one["weights"], 1e-6)
    moved = max(float((one["weights"][name] - weight).abs().max()) for name, weight in start.items())
    assert moved > 0.05, "weights that stay where they were are equal too"


def test_what_is_not_finite_on_one_rank_is_skipped_on_both(tmp_path: Path) -> None:
    objective = InfiniteOnce(step=3)
    first, second = fit(tmp_path / "parts", 2, make_data(tmp_path), objective)
    assert first["skipped"] == second["skipped"] == 1
    assert_same(first["weights"], second["weights"], 0.0)
    assert all(bool(weight.isfinite().all()) for weight in first["weights"].values())
    (one,) = fit(tmp_path / "whole", 1, make_data(tmp_path, united_steps=1), objective)
    assert one["skipped"] == 1
    assert_same(first["weights"], one["weights"], 1e-6)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    """Weights that write something of their sentences: an untrained model's scores are 0 on any number of ranks."""
    folder = tmp_path_factory.mktemp("trained")
    (left,) = fit(folder, 1, make_data(folder, united_steps=1), max_steps=80)
    weights: Weights = left["weights"]
    return weights


@pytest.mark.parametrize(("examples", "budget"), [(13, 120), (13, 1), (1, 120)])
def test_ranks_score_as_one_process(tmp_path: Path, trained: Weights, examples: int, budget: int) -> None:
    found: list[dict[str, Any]] = []
    for ranks in (1, 2, 3):
        data = make_data(tmp_path, val=examples)
        data.eval_batch_budget = budget
        module = make_module(data)
        module.load_state_dict(trained)
        (scores,) = make_trainer(tmp_path, ranks).validate(module, data, verbose=False)
        found.append(dict(scores))
    one, *others = found
    assert one["val/chrf2"] > 0, "scores of nothing are equal too"
    for name in ("val/loss", "val/perplexity"):  # float32 sums of differently padded batches
        expected = one.pop(name)
        assert [other.pop(name) for other in others] == pytest.approx([expected] * 2, rel=1e-6)
    assert others == [one, one]

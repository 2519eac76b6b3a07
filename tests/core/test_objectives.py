from __future__ import annotations

import math
from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from core.batch import Seq2SeqBatch, TextBatch, shift_right
from core.decoders.base import Decoder
from core.decoders.recurrent import RecurrentDecoder
from core.decoders.transformer import TransformerDecoder
from core.encoders.recurrent import RecurrentEncoder
from core.encoders.transformer import TransformerEncoder
from core.errors import ConfigError
from core.generation import GenerationOptions, generate
from core.objectives import CrossEntropy, Loss, ScheduledSampling
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials

TYPES, D_MODEL = 13, 8
SPECIALS = Specials()
Kind = Literal["transformer", "recurrent"]


def make_model(kind: Kind, dropout: float = 0.0) -> EncoderDecoder:
    torch.manual_seed(1)
    if kind == "recurrent":
        encoder = RecurrentEncoder(TYPES, D_MODEL, dropout=dropout)
        return EncoderDecoder(
            encoder, RecurrentDecoder(TYPES, D_MODEL, D_MODEL, attention="additive", order="bahdanau", dropout=dropout)
        )
    return EncoderDecoder(
        TransformerEncoder(TYPES, D_MODEL, num_layers=1, num_heads=2, ffn_size=16, dropout=dropout),
        TransformerDecoder(TYPES, D_MODEL, D_MODEL, num_layers=1, num_heads=2, ffn_size=16, dropout=dropout),
    )


def make_batch(lengths: tuple[int, ...] = (7, 2, 5)) -> Seq2SeqBatch:
    """Random sources and targets of these lengths; the targets end with the end token."""
    generator = torch.Generator().manual_seed(2)
    sides = []
    for _ in range(2):
        values = torch.randint(4, TYPES, (len(lengths), max(lengths)), generator=generator)
        for row, length in enumerate(lengths):
            values[row, length - 1] = SPECIALS.eos
            values[row, length:] = SPECIALS.pad
        sides.append(TextBatch(values, torch.tensor(lengths)))
    source, target = sides
    return Seq2SeqBatch(source, target, ids=tuple(range(len(lengths))))


def reference(model: EncoderDecoder, batch: Seq2SeqBatch, smoothing: float) -> tuple[Tensor, Tensor]:
    """torch's own loss and negative log-likelihood of the padded batch, summed."""
    assert batch.target is not None
    values = batch.target.values
    logits, wanted = model(batch.source, shift_right(values, SPECIALS.bos)).flatten(0, 1), values.flatten()

    def loss(smoothing: float) -> Tensor:
        return F.cross_entropy(logits, wanted, label_smoothing=smoothing, ignore_index=SPECIALS.pad, reduction="sum")

    return loss(smoothing), loss(0.0)


def gradients(model: EncoderDecoder, total: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(total, list(model.parameters()), allow_unused=False))


def assert_equals_torch(model: EncoderDecoder, batch: Seq2SeqBatch, loss: Loss, smoothing: float) -> None:
    total, nll = reference(model, batch, smoothing)
    torch.testing.assert_close(loss.total, total)
    torch.testing.assert_close(loss.nll, nll, check_dtype=False)
    assert int(loss.tokens) == 7 + 2 + 5
    for ours, theirs in zip(gradients(model, loss.total), gradients(model, total), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torch_s_on_the_padded_batch(kind: Kind, smoothing: float) -> None:
    model, batch = make_model(kind), make_batch()
    assert_equals_torch(model, batch, CrossEntropy(smoothing)(model, batch, SPECIALS, 0), smoothing)


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
@pytest.mark.parametrize("rollout", ["stepwise", "parallel"])
def test_scheduled_sampling_begins_as_cross_entropy(kind: Kind, rollout: Literal["stepwise", "parallel"]) -> None:
    model, batch = make_model(kind), make_batch()
    objective = ScheduledSampling(rollout, decay="linear", length=10, floor=0.0, label_smoothing=0.1)
    assert objective.reference_share(0) == 1.0
    assert_equals_torch(model, batch, objective(model, batch, SPECIALS, 0), 0.1)


@pytest.mark.parametrize(
    ("decay", "step", "share"),
    [
        ("linear", 25, 0.75),
        ("linear", 95, 0.1),  # 0.05 is below the floor
        ("exponential", 100, math.exp(-1)),
        ("inverse_sigmoid", 0, 100 / 101),
        ("inverse_sigmoid", 200, 100 / (100 + math.exp(2))),
        ("inverse_sigmoid", 100_000, 0.1),  # exp(1000) is beyond a float
    ],
)
def test_the_share_of_reference_tokens_decays(
    decay: Literal["linear", "exponential", "inverse_sigmoid"], step: int, share: float
) -> None:
    assert ScheduledSampling(decay=decay, length=100, floor=0.1).reference_share(step) == pytest.approx(share)


class Never(torch.nn.Module):
    """A head that gives some types no probability."""

    def __init__(self, head: torch.nn.Module, types: tuple[int, ...]) -> None:
        super().__init__()
        self.head, self.types = head, torch.tensor(types)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits.index_fill(-1, self.types, -1e9)


class InputRecorder:
    """Notes what a decoder is given to score."""

    def __init__(self, decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inputs: list[Tensor] = []
        features = decoder.features

        def recorded(tokens: Tensor, *others: object) -> Tensor:
            self.inputs.append(tokens)
            return features(tokens, *others)  # type: ignore[arg-type]

        monkeypatch.setattr(decoder, "features", recorded)


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_a_stepwise_rollout_without_references_is_greedy_decoding(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = make_model(kind), make_batch()
    objective = ScheduledSampling("stepwise", "linear", length=10, floor=0.0, choice="best")
    assert objective.reference_share(10) == 0.0
    # Generation never writes a begin token or padding, and stops at an end token.
    monkeypatch.setattr(model.decoder, "head", Never(model.decoder.head, (SPECIALS.pad, SPECIALS.bos, SPECIALS.eos)))
    options = GenerationOptions(max_length=6)
    greedy = [found[0].tokens for found in generate([model], batch.source, options, SPECIALS)]
    recorder = InputRecorder(model.decoder, monkeypatch)
    loss = objective(model, batch, SPECIALS, 10)
    (inputs,) = recorder.inputs
    assert inputs[:, 0].tolist() == [SPECIALS.bos] * 3
    assert [tuple(row) for row in inputs[:, 1:].tolist()] == greedy
    assert loss.total.requires_grad


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_a_parallel_rollout_reads_what_the_model_says_after_the_reference(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = make_model(kind), make_batch()
    assert batch.target is not None
    right = shift_right(batch.target.values, SPECIALS.bos)
    said = model(batch.source, right).argmax(-1)
    recorder = InputRecorder(model.decoder, monkeypatch)
    objective = ScheduledSampling("parallel", "linear", length=10, floor=0.0, choice="best")
    objective(model, batch, SPECIALS, 10)
    teacher_forced, mixed = recorder.inputs
    assert torch.equal(teacher_forced, right)
    assert torch.equal(mixed, shift_right(said, SPECIALS.bos))


@pytest.mark.parametrize("rollout", ["stepwise", "parallel"])
def test_the_share_is_that_of_the_reference_tokens_read(
    rollout: Literal["stepwise", "parallel"], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = make_model("transformer"), make_batch((40,) * 50)
    assert batch.target is not None
    # Targets of a type that this model never writes: each other token is one of the model's.
    monkeypatch.setattr(model.decoder, "head", Never(model.decoder.head, (TYPES - 1,)))
    values = torch.full_like(batch.target.values, TYPES - 1)
    batch = Seq2SeqBatch(batch.source, TextBatch(values, batch.target.lengths), batch.ids)
    recorder = InputRecorder(model.decoder, monkeypatch)
    ScheduledSampling(rollout, "linear", length=10, floor=0.0)(model, batch, SPECIALS, 3)
    share = float((recorder.inputs[-1][:, 1:] == TYPES - 1).float().mean())
    assert share == pytest.approx(0.7, abs=0.04)  # four standard deviations of 1,950 draws


def test_what_is_drawn_follows_the_model_s_distribution() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    drawn = ScheduledSampling(choice="draw")._choose(probabilities.log().expand(20_000, 4), torch.rand(20_000))
    shares = torch.bincount(drawn, minlength=4) / 20_000
    torch.testing.assert_close(shares, probabilities, rtol=0, atol=0.015)  # four standard deviations


def test_the_numbers_of_an_example_are_its_own() -> None:
    objective = ScheduledSampling()
    objective.seed = 7
    together = objective.draws([5, 3, 8], torch.zeros(3, 9), step=2)
    (alone, longer) = (objective.draws([3], torch.zeros(1, size), step=2) for size in (9, 12))
    for place, (kept, apart, padded) in enumerate(zip(together, alone, longer, strict=True)):
        assert torch.equal(kept[1:2], apart), place
        assert torch.equal(padded[:, :9], apart), place
    numbers = torch.cat([*together, *objective.draws([5, 3, 8], torch.zeros(3, 9), step=3)])
    assert len(set(numbers.flatten().tolist())) == numbers.numel()


def test_a_number_never_falls_beyond_the_last_token() -> None:
    logits = torch.zeros(3, 70_000)
    drawn = ScheduledSampling(choice="draw")._choose(logits, torch.tensor([0.0, 1 - 2.0**-23, 1 - 2.0**-23]))
    assert drawn[0] == 0
    assert (drawn < 70_000).all()


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"objective\.length is a number of updates above 0, got 0"):
        ScheduledSampling(length=0)
    with pytest.raises(ConfigError, match=r"objective\.floor"):
        ScheduledSampling(floor=1.5)
    with pytest.raises(ConfigError, match=r"objective\.label_smoothing"):
        CrossEntropy(label_smoothing=1.0)


def test_a_draw_at_the_end_of_the_distribution_is_still_a_token() -> None:
    objective = ScheduledSampling(choice="draw")
    logits = torch.zeros(3, 5)
    assert objective._choose(logits, torch.tensor([0.0, 0.5, 1.0])).tolist() == [0, 2, 4]

from __future__ import annotations

from math import inf
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from core.batch import Seq2SeqBatch, TextBatch
from core.ctc import CtcEncoderDecoder, JointCtcAttention, ctc_greedy, feasible
from core.ctc.objective import ctc_loss
from core.errors import ConfigError
from core.objectives import CrossEntropy
from tests.core.ctc.toys import BLANK, all_labellings, ctc_model, random_log_probs
from tests.core.generation.toys import SPECIALS, toy_model

FRAMES = (6, 3, 4)
TARGETS = ((4, 4, 5), (6, 3), ())
IMPOSSIBLE = ((4, 4, 5), (6, 6, 6), ())  # the second needs five frames and has three


def make_batch(targets: tuple[tuple[int, ...], ...] = TARGETS, frames: tuple[int, ...] = FRAMES) -> Seq2SeqBatch:
    """Sources of so many tokens, each of which the toy encoder makes a frame of; targets get their end token."""
    generator = torch.Generator().manual_seed(3)
    source = TextBatch(torch.randint(4, 11, (len(frames), max(frames)), generator=generator), torch.tensor(frames))
    size = 1 + max(map(len, targets))
    values = [[*each, SPECIALS.eos, *[SPECIALS.pad] * (size - 1 - len(each))] for each in targets]
    lengths = torch.tensor([len(each) + 1 for each in targets])
    return Seq2SeqBatch(source, TextBatch(torch.tensor(values), lengths), ids=tuple(range(len(frames))))


def single(batch: Seq2SeqBatch, row: int) -> Seq2SeqBatch:
    assert batch.target is not None
    rows = torch.tensor([row])
    return Seq2SeqBatch(batch.source.select(rows), batch.target.select(rows), ids=(row,))


def listed(model: CtcEncoderDecoder, batch: Seq2SeqBatch, targets: tuple[tuple[int, ...], ...]) -> list[float]:
    """The negative log-likelihoods from a list of all paths."""
    with torch.no_grad():
        log_probs = model.ctc_log_probs(model.encode(batch.source))
    sizes = batch.source.lengths.tolist()
    return [-all_labellings(log_probs[row, : sizes[row]]).get(each, -inf) for row, each in enumerate(targets)]


def gradients(model: CtcEncoderDecoder) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}


def test_loss_is_the_sum_over_all_paths() -> None:
    log_probs, lengths = random_log_probs(3, 6, 4), torch.tensor([6, 2, 0])
    targets, sizes = torch.tensor([[1, 1, 3], [2, 9, 9], [9, 9, 9]]), torch.tensor([3, 1, 0])
    found = ctc_loss(log_probs, lengths, targets, sizes, BLANK)
    wanted = [all_labellings(log_probs[0])[1, 1, 3], all_labellings(log_probs[1, :2])[(2,)], 0.0]
    torch.testing.assert_close(found, -torch.tensor(wanted))


def test_gradient_is_that_of_the_loss() -> None:
    logits = torch.randn(2, 5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    lengths, sizes, targets = torch.tensor([5, 3]), torch.tensor([3, 2]), torch.tensor([[1, 1, 2], [3, 2, 9]])
    assert torch.autograd.gradcheck(
        lambda x: ctc_loss(x.log_softmax(-1), lengths, targets, sizes, BLANK), logits, nondet_tol=1e-9
    )


def test_feasible_is_what_some_path_spells() -> None:
    spelt = set(all_labellings(random_log_probs(1, 4, 4)[0]))
    targets = [(), (1,), (1, 2, 3, 1), (1, 1), (1, 1, 2), (1, 1, 1), (1, 2, 2, 1), (1, 2, 3, 1, 2), (2, 2, 3)]
    padded = torch.tensor([[*each, *[3] * (6 - len(each))] for each in targets])
    found = feasible(torch.full((len(targets),), 4), padded, torch.tensor([len(each) for each in targets]))
    assert found.tolist() == [each in spelt for each in targets]
    assert feasible(torch.tensor([0]), torch.zeros(1, 0, dtype=torch.int64), torch.tensor([0])).tolist() == [True]


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_total_is_the_weighted_sum_of_both(weight: float) -> None:
    model, batch = ctc_model(), make_batch()
    loss = JointCtcAttention(weight, label_smoothing=0.1)(model, batch, SPECIALS, 0)
    attention = CrossEntropy(0.1)(model, batch, SPECIALS, 0)
    ctc = sum(listed(model, batch, TARGETS))
    assert loss.total.item() == pytest.approx((1 - weight) * attention.total.item() + weight * ctc, rel=1e-5)
    assert loss.parts["ctc"].item() == pytest.approx(ctc, rel=1e-5)
    assert loss.nll.item() == pytest.approx(attention.nll.item() if weight < 1 else ctc, rel=1e-5)
    assert int(loss.tokens) == sum(len(each) + 1 for each in TARGETS)
    assert not any(part.requires_grad for part in (loss.nll, *loss.parts.values()))


def test_a_batch_is_the_sum_of_its_pairs() -> None:
    model, batch, objective = ctc_model(), make_batch(), JointCtcAttention()
    whole = objective(model, batch, SPECIALS, 0).total.item()
    assert whole == pytest.approx(
        sum(objective(model, single(batch, row), SPECIALS, 0).total.item() for row in range(3))
    )


def test_the_encoder_runs_once() -> None:
    model = ctc_model()
    with patch.object(model.encoder, "forward", wraps=model.encoder.forward) as forward:
        JointCtcAttention()(model, make_batch(), SPECIALS, 0)
    assert forward.call_count == 1


def test_ctc_alone_runs_no_decoder_and_attention_alone_needs_no_head() -> None:
    model, batch = ctc_model(), make_batch()
    with patch.object(model.decoder, "features", side_effect=AssertionError):
        JointCtcAttention(1.0)(model, batch, SPECIALS, 0)
    plain = toy_model()
    found = JointCtcAttention(0.0, 0.2)(plain, batch, SPECIALS, 0)
    torch.testing.assert_close(found.total, CrossEntropy(0.2)(plain, batch, SPECIALS, 0).total)
    assert set(found.parts) == {"attention"}


def test_infeasible_pairs_are_counted_and_train_the_attention_only() -> None:
    model, batch, objective = ctc_model(), make_batch(IMPOSSIBLE), JointCtcAttention(0.4)
    loss = objective(model, batch, SPECIALS, 0)
    assert objective.infeasible == 1
    attention = CrossEntropy()(model, batch, SPECIALS, 0).total.item()
    possible = [value for value in listed(model, batch, IMPOSSIBLE) if value < inf]
    assert len(possible) == 2
    assert loss.total.item() == pytest.approx(0.6 * attention + 0.4 * sum(possible), rel=1e-5)
    loss.total.backward()
    found = gradients(model)
    assert all(gradient.isfinite().all() for gradient in found.values())
    model.zero_grad()
    parts = [objective(model, single(batch, row), SPECIALS, 0).total for row in (0, 2)]
    (sum(parts) + 0.6 * CrossEntropy()(model, single(batch, 1), SPECIALS, 0).total).backward()
    wanted = gradients(model)
    assert set(found) == set(wanted)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-5)


def test_a_batch_without_a_feasible_pair_has_a_gradient_of_zero() -> None:
    model, objective = ctc_model(), JointCtcAttention(1.0)
    loss = objective(model, make_batch(((4, 4), (5, 5)), (2, 1)), SPECIALS, 0)
    loss.total.backward()
    assert loss.total.item() == 0
    assert objective.infeasible == 2
    assert model.ctc.projection.weight.grad is not None
    assert not model.ctc.projection.weight.grad.any()


def test_training_by_ctc_finds_the_alignment() -> None:
    model, objective = ctc_model(), JointCtcAttention(1.0)
    targets = ((4, 5, 6), (6, 5), (5, 5, 4), (4, 6))
    # each token is heard for one frame or two, with silence (10) before it
    heard = [[10, 4, 4, 10, 5, 10, 6, 6], [10, 10, 6, 6, 5, 5, 5], [10, 5, 10, 5, 10, 4], [4, 4, 4, 10, 6]]
    batch = make_batch(targets, tuple(map(len, heard)))
    for row, values in enumerate(heard):
        batch.source.values[row, : len(values)] = torch.tensor(values)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        objective(model, batch, SPECIALS, 0).total.backward()
        optimizer.step()
    found = ctc_greedy(model.ctc_log_probs(model.encode(batch.source)), batch.source.lengths, BLANK)
    assert tuple(tokens for tokens, _ in found) == targets


def test_options_and_models_that_can_not_work_are_refused() -> None:
    for weight in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="ctc_weight"):
            JointCtcAttention(weight)
    with pytest.raises(ConfigError, match="CTC head"):
        JointCtcAttention()(toy_model(), make_batch(), SPECIALS, 0)

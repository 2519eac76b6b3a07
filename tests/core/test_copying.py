"""The copy head by itself, its loss, and the model around it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from core.batch import ExtendedTextBatch, Seq2SeqBatch, TextBatch, shift_right
from core.decoders.base import Decoder
from core.decoders.recurrent import RecurrentDecoder
from core.decoders.transformer import TransformerDecoder
from core.encoders.base import Encoder
from core.encoders.recurrent import RecurrentEncoder
from core.encoders.transformer import TransformerEncoder
from core.errors import ConfigError
from core.generation import GenerationOptions, generate
from core.generation.scorers import TokenBonus
from core.heads import CopyHead, VocabularyHead
from core.layers.copying import Copyable, copyable
from core.masks import length_mask
from core.objectives import CrossEntropy, ScheduledSampling, target_loss
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials
from tests.contracts.decoder import random_memory
from tests.contracts.encoder import text_source
from tests.core.generation.toys import SPECIALS, assert_same, exhaustive

TYPES, WIDTH = 7, 8
SIZES = {"d_model": WIDTH, "num_layers": 1, "num_heads": 2, "ffn_size": 16, "dropout": 0.0}


def sources(extra: int = 1) -> Copyable:
    """Three sources of 3, 2 and no tokens out of 4 types and their own words."""
    tokens = torch.tensor([[1, 4, 1], [3, 2, 2], [1, 1, 1]])
    return copyable(replace(random_memory([3, 2, 0], 2), tokens=tokens, extra_types=extra), 4)


def head(gate: float = 0.0) -> CopyHead:
    """Its logits are log 1, log 2, log 3, log 4 times the feature; its gate is given."""
    made = CopyHead(VocabularyHead(1, 4, bias=False))
    made.vocabulary.projection.weight.data = torch.tensor([1.0, 2.0, 3.0, 4.0]).log().unsqueeze(1)
    made.gate.weight.data.zero_()
    made.gate.bias.data.fill_(gate)
    return made


WEIGHTS = torch.tensor([[[0.5, 0.2, 0.3]], [[0.25, 0.75, 0.0]], [[0.4, 0.3, 0.3]]])


def test_the_mixture_by_hand() -> None:
    """A gate of 1/4: a quarter of (1, 2, 3, 4) / 10, and three quarters of where the attention lies."""
    log_probs = head(math.log(1 / 3))(torch.ones(3, 1, 1), WEIGHTS, sources())
    expected = torch.tensor(
        [
            [0.025, 0.05 + 0.75 * 0.8, 0.075, 0.1, 0.75 * 0.2],
            [0.025, 0.05, 0.075 + 0.75 * 0.75, 0.1 + 0.75 * 0.25, 0.0],
            [0.1, 0.2, 0.3, 0.4, 0.0],  # there is nothing to copy
        ]
    )
    torch.testing.assert_close(log_probs.squeeze(1).exp(), expected)


def test_the_loss_is_the_log_probability_of_the_target() -> None:
    target = torch.tensor([[4], [2], [3]])
    is_token = torch.ones(3, 1, dtype=torch.bool)
    total, nll = head(math.log(1 / 3)).loss(torch.ones(3, 1, 1), WEIGHTS, sources(), target, is_token, smoothing=0.0)
    expected = -sum(math.log(p) for p in (0.15, 0.6375, 0.4))
    assert float(total.detach()) == pytest.approx(expected)
    assert float(nll) == pytest.approx(expected)


def test_smoothing_spreads_over_the_vocabulary_alone() -> None:
    target, is_token = torch.tensor([[4], [2], [3]]), torch.tensor([[True], [False], [False]])
    total, nll = head(math.log(1 / 3)).loss(torch.ones(3, 1, 1), WEIGHTS, sources(), target, is_token, smoothing=0.2)
    even = -sum(math.log(p / 10) for p in (1, 2, 3, 4)) / 4
    assert float(total.detach()) == pytest.approx(0.8 * -math.log(0.15) + 0.2 * even)
    assert float(nll) == pytest.approx(-math.log(0.15))


def test_gradients_in_double_precision() -> None:
    torch.manual_seed(0)
    made = CopyHead(VocabularyHead(3, 4)).double()
    features = torch.randn(3, 2, 3, dtype=torch.double, requires_grad=True)
    scores = torch.randn(3, 2, 3, dtype=torch.double, requires_grad=True)
    target, is_token = torch.tensor([[1, 4], [3, 2], [0, 1]]), torch.tensor([[True, True], [True, False], [True, True]])

    def scored(features: Tensor, scores: Tensor) -> Tensor:
        return torch.as_tensor(made(features, scores.softmax(2), sources())).clamp(min=-1e3).exp()

    def lost(features: Tensor, scores: Tensor) -> Tensor:
        return made.loss(features, scores.softmax(2), sources(), target, is_token, 0.1)[0]

    assert torch.autograd.gradcheck(scored, (features, scores))
    assert torch.autograd.gradcheck(lost, (features, scores))


@pytest.mark.parametrize("gate", [-math.inf, -1e6, -100.0, 100.0, 1e6, math.inf])
def test_extreme_gates_and_attention_give_finite_losses_and_gradients(gate: float) -> None:
    """An own word that gets no attention at all, a type that the source lacks, and a source that is empty."""
    made = head(gate)
    weights = torch.tensor([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]]], requires_grad=True)
    features = torch.ones(3, 1, 1, requires_grad=True)
    is_token = torch.ones(3, 1, dtype=torch.bool)
    total, nll = made.loss(features, weights, sources(), torch.tensor([[4], [0], [1]]), is_token, 0.1)
    torch.autograd.backward(total)
    tensors = [total, nll, weights.grad, features.grad, *(p.grad for p in made.parameters())]
    assert all(tensor is not None and tensor.isfinite().all() for tensor in tensors)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_mixes_in_single_precision(dtype: torch.dtype) -> None:
    with torch.autocast("cpu", dtype=dtype):
        log_probs = head()(torch.ones(3, 1, 1), WEIGHTS.to(dtype), sources())
    assert log_probs.dtype == torch.float32
    torch.testing.assert_close(log_probs.exp().sum(2), torch.ones(3, 1), atol=0.01, rtol=0)


def make_model(kind: str, seed: int = 0, copy: bool = True) -> EncoderDecoder:
    torch.manual_seed(seed)
    decoder: Decoder
    encoder: Encoder
    if kind == "recurrent":
        encoder = RecurrentEncoder(TYPES, WIDTH, dropout=0.0)
        decoder = RecurrentDecoder(TYPES, WIDTH, WIDTH, attention="coverage", dropout=0.0, copy=copy)
    else:
        encoder = TransformerEncoder(TYPES, **SIZES)  # type: ignore[arg-type]
        decoder = TransformerDecoder(TYPES, WIDTH, copy=copy, **SIZES)  # type: ignore[arg-type]
    for parameter in decoder.parameters():
        parameter.data.mul_(1.5)  # so that the distributions differ
    return EncoderDecoder(encoder, decoder)


def own_source() -> ExtendedTextBatch:
    """Two sources: one with an own word, twice, and one with two of them; the tokenizer's ids are the model's too."""
    values = torch.tensor([[4, 3, 5, 3], [3, 3, 0, 0]])
    extended = torch.tensor([[4, 7, 5, 7], [7, 8, 0, 0]])
    return ExtendedTextBatch(values, torch.tensor([4, 2]), extended=extended, own_words=((7,), (7, 8)))


KINDS = pytest.mark.parametrize("kind", ["recurrent", "transformer"])


@KINDS
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_that_of_the_whole_distribution(kind: str, smoothing: float) -> None:
    model, source = make_model(kind), own_source()
    target = TextBatch(torch.tensor([[7, 5, 7, 2], [8, 2, 0, 0]]), torch.tensor([4, 2]))
    inputs = shift_right(target.values, SPECIALS.bos)
    memory = model.encode(source)
    loss = target_loss(model.decoder, inputs, target, memory, smoothing)
    is_token = length_mask(target.lengths, 4)
    log_probs = model.decode(inputs, memory)[is_token]
    nll = F.nll_loss(log_probs, target.values[is_token], reduction="sum")
    assert float(loss.nll) == pytest.approx(float(nll.detach()), rel=1e-5)
    if not smoothing:
        grads = torch.autograd.grad(nll, list(model.decoder.parameters()), retain_graph=True)
        for ours, theirs in zip(torch.autograd.grad(loss.total, list(model.decoder.parameters())), grads, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@KINDS
def test_a_batch_is_written_as_its_sources_alone(kind: str) -> None:
    model, source = make_model(kind), own_source()
    for options in (GenerationOptions(max_length=4), GenerationOptions(max_length=4, beam_size=4, n_best=4)):
        together = generate(model, source, options, SPECIALS)
        for row in range(2):
            (alone,) = generate(model, source.select(torch.tensor([row])), options, SPECIALS)
            assert_same(together[row], alone)


@KINDS
@pytest.mark.parametrize("seed", [0, 1])
def test_a_wide_beam_equals_exhaustive_search(kind: str, seed: int) -> None:
    """Of four types that can be written and two words that can only be copied: no more than 6 ** 3 * 7 candidates."""
    model = make_model(kind, seed)
    source = own_source().select(torch.tensor([1]))
    options = GenerationOptions(max_length=3, beam_size=1600, n_best=8)
    found = generate(model, source, options, SPECIALS)[0]
    listed = exhaustive(model, source, options, types=TYPES + 2)
    assert_same(found, listed[:8])
    assert any(token >= TYPES for hypothesis in found for token in hypothesis.tokens)


def test_copied_words_are_called_what_the_tokenizer_calls_them() -> None:
    source, options = own_source(), GenerationOptions(max_length=3, beam_size=4, n_best=4)
    named = replace(source, own_words=((90,), (70, 80)))
    model = make_model("recurrent")
    names = ({7: 90}, {7: 70, 8: 80})
    for ours, theirs, mapping in zip(
        generate(model, named, options, SPECIALS), generate(model, source, options, SPECIALS), names, strict=True
    ):
        expected = [tuple(mapping.get(token, token) for token in each.tokens) for each in theirs]
        assert [each.tokens for each in ours] == expected
        assert any(token in mapping.values() for each in ours for token in each.tokens)


@KINDS
def test_words_of_other_sources_are_never_written(kind: str) -> None:
    options = GenerationOptions(sample=True, n_best=50, max_length=5)
    for hypotheses, limit in zip(generate(make_model(kind), own_source(), options, SPECIALS), (8, 9), strict=True):
        written = {token for hypothesis in hypotheses for token in hypothesis.tokens}
        assert limit - 1 in written
        assert max(written) < limit


def test_a_bonus_goes_to_own_words_too() -> None:
    model, source = make_model("transformer"), own_source()
    options = GenerationOptions(beam_size=3, max_length=3, length_penalty="none")
    plain = generate(model, source, options, SPECIALS)
    bonus = TokenBonus(0.0, TYPES, SPECIALS.eos)
    for ours, theirs in zip(generate(model, source, options, SPECIALS, scorers=[bonus]), plain, strict=True):
        assert_same(ours, theirs)
    long = generate(model, source, options, SPECIALS, scorers=[TokenBonus(20.0, TYPES, SPECIALS.eos)])
    assert [len(best[0].tokens) for best in long] == [3, 3]


@KINDS
def test_coverage_is_added_from_its_update_on(kind: str) -> None:
    model, source = make_model(kind), text_source([4, 2], TYPES)
    batch = Seq2SeqBatch(source, TextBatch(torch.tensor([[4, 5, 4, 2], [5, 2, 0, 0]]), torch.tensor([4, 2])), (0, 1))
    plain = CrossEntropy(0.0)(model, batch, SPECIALS, 10)
    before, after = (CrossEntropy(0.0, coverage=2.0, coverage_from=5)(model, batch, SPECIALS, step) for step in (4, 5))
    assert "coverage" not in plain.parts
    assert before.parts["coverage"] > 0.1
    assert float(before.total.detach()) == pytest.approx(float(plain.total.detach()))
    overlap = float(after.parts["coverage"])
    assert float((after.total - plain.total).detach()) == pytest.approx(2 * overlap, rel=1e-4)
    after.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.decoder.parameters())


@pytest.mark.parametrize("rollout", ["parallel", "stepwise"])
def test_scheduled_sampling_reads_own_words(rollout: str) -> None:
    target = TextBatch(torch.tensor([[7, 5, 7, 2], [8, 2, 0, 0]]), torch.tensor([4, 2]))
    objective = ScheduledSampling(rollout, "linear", length=1, floor=0.0)  # type: ignore[arg-type]
    loss = objective(make_model("transformer"), Seq2SeqBatch(own_source(), target, (0, 1)), SPECIALS, 5)
    assert loss.total.isfinite()


def test_own_words_follow_their_rows() -> None:
    chosen = own_source().select(torch.tensor([1]))
    assert chosen.own_words == ((7, 8),)
    assert chosen.extended.tolist() == [[7, 8]]
    assert own_source().to("cpu").extra_types == 2


class Halving(TransformerEncoder):
    subsampling = 2


def test_what_cannot_be_copied_is_refused() -> None:
    decoder = make_model("transformer").decoder
    with pytest.raises(ConfigError, match=r"copy is true, but the encoder Halving makes one state of 2 steps"):
        EncoderDecoder(Halving(TYPES, **SIZES), decoder)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"the source has 9 types and the target 7.*joint"):
        EncoderDecoder(TransformerEncoder(9, **SIZES), decoder)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"own_words is true.*copy=true"):
        make_model("transformer", copy=False).encode(own_source())
    model = make_model("transformer", copy=False)
    batch = Seq2SeqBatch(text_source([3], TYPES), TextBatch(torch.tensor([[4, 2]]), torch.tensor([2])), (0,))
    with pytest.raises(ConfigError, match=r"coverage needs attention.*copy=true"):
        CrossEntropy(coverage=1.0)(model, batch, Specials(), 0)
    with pytest.raises(ConfigError, match=r"objective\.coverage must be"):
        CrossEntropy(coverage=-1.0)

"""Generation with the decoders that the tasks use."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch

from core.decoders.base import Decoder
from core.decoders.recurrent import RecurrentDecoder
from core.decoders.transformer import TransformerDecoder
from core.encoders.base import Encoder
from core.encoders.recurrent import RecurrentEncoder
from core.encoders.transformer import TransformerEncoder
from core.generation import Constraints, GenerationOptions, generate
from core.layers.positions import Positions
from core.seq2seq import EncoderDecoder
from tests.core.generation.toys import SPECIALS, alone, assert_same, exhaustive, log_prob, toy_source

KINDS = ["transformer", "transformer-learned", "gru", "lstm-fed", "rnn-bahdanau", "sutskever"]


def make(kind: str, vocab_size: int) -> EncoderDecoder:
    torch.manual_seed(0)
    encoder: Encoder
    decoder: Decoder
    if kind.startswith("transformer"):
        encoder = TransformerEncoder(11, 16, 2, 2, 32)
        positions: Positions = "learned" if kind.endswith("learned") else "rotary"
        decoder = TransformerDecoder(vocab_size, 16, 16, 2, 2, 32, positions=positions, max_positions=64)
    elif kind == "sutskever":
        encoder = RecurrentEncoder(11, 16, "lstm", 2, bidirectional=False)
        decoder = RecurrentDecoder(vocab_size, 16, 16, "lstm", 2, attention="none", bridge="copy")
    elif kind == "lstm-fed":
        encoder = RecurrentEncoder(11, 16, "lstm", 1)
        decoder = RecurrentDecoder(vocab_size, 16, 16, "lstm", 2, "dot", input_feeding=True)
    elif kind == "rnn-bahdanau":
        encoder = RecurrentEncoder(11, 16, "rnn", 1)
        decoder = RecurrentDecoder(vocab_size, 16, 16, "rnn", 1, "additive", order="bahdanau")
    else:
        encoder = RecurrentEncoder(11, 16, "gru", 1)
        decoder = RecurrentDecoder(vocab_size, 16, 16, "gru", 1)
    model = EncoderDecoder(encoder, decoder)
    for parameter in model.decoder.parameters():  # far from uniform, so that hypotheses differ
        parameter.data *= 3.0
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beam", [1, 4])
def test_a_sentence_alone_in_7_and_in_64(kind: str, beam: int) -> None:
    model, source = make(kind, 50), toy_source(64)
    options = GenerationOptions(
        beam_size=beam, n_best=beam, max_length=40, max_length_ratio=3.0, max_length_offset=4, no_repeat_ngram=3
    )
    together = generate(model, source, options, SPECIALS)
    seven = generate(model, source.select(torch.arange(7)), options, SPECIALS)
    for index in range(7):
        assert_same(seven[index], together[index])
        assert_same(generate(model, alone(source, index), options, SPECIALS)[0], together[index])


@pytest.mark.parametrize("kind", KINDS)
def test_steps_score_as_the_whole_target_does(kind: str) -> None:
    model, source = make(kind, 30), toy_source(5)
    options = GenerationOptions(beam_size=5, n_best=5, max_length=45, min_length=4)
    model.eval()
    for index, best in enumerate(generate(model, source, options, SPECIALS)):
        for hypothesis in best:
            expected = log_prob(model, alone(source, index), hypothesis.tokens, hypothesis.finished)
            assert hypothesis.log_prob == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_wide_beams_are_exhaustive(kind: str) -> None:
    model, source = make(kind, 6), toy_source(3)
    options = GenerationOptions(beam_size=130, n_best=4, max_length=3, length_penalty="gnmt", alpha=0.6)
    model.eval()
    ours = generate(model, source, options, SPECIALS)
    for index in range(3):
        assert_same(ours[index], exhaustive(model, alone(source, index), options)[:4])


@pytest.mark.parametrize("kind", KINDS)
def test_samples_and_required_phrases(kind: str) -> None:
    model, source = make(kind, 40), toy_source(6)
    draw = GenerationOptions(sample=True, n_best=2, max_length=12)
    drawn = generate(model, source, draw, SPECIALS)
    required = Constraints(required=(((7, 8), (20,)),))
    options = GenerationOptions(beam_size=6, max_length=12)
    written = generate(model, source, options, SPECIALS, required)
    for index in range(6):
        one = alone(source, index)
        assert_same(generate(model, one, draw, SPECIALS)[0], drawn[index])
        assert_same(generate(model, one, options, SPECIALS, required)[0], written[index])
        tokens = written[index][0].tokens
        assert 20 in tokens
        assert (7, 8) in itertools.pairwise(tokens)


def test_ensembles_of_different_architectures() -> None:
    models, source = [make("transformer", 20), make("gru", 20)], toy_source(5)
    options = GenerationOptions(beam_size=3, max_length=8)
    together = generate(models, source, options, SPECIALS)
    swapped = generate(models[::-1], source, options, SPECIALS)
    single = generate(models[0], source, replace(options, beam_size=3), SPECIALS)
    for ours, theirs in zip(together, swapped, strict=True):
        assert_same(ours, theirs)
    assert any(a[0].tokens != b[0].tokens for a, b in zip(together, single, strict=True))

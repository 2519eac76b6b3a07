from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import get_args

import pytest
import torch

from core.batch import Source
from core.ctc import CtcEncoderDecoder, DecodingMode, ctc_beam, transcribe
from core.ctc.transcribe import writable
from core.errors import ConfigError
from core.generation import Constraints, GenerationOptions, Hypothesis, generate
from core.generation.scorers import TokenBonus
from tests.core.ctc.toys import BLANK, Tokens, all_labellings, ctc_model
from tests.core.generation.toys import SPECIALS, alone, assert_same, exhaustive, toy_model, toy_source

MODES: tuple[DecodingMode, ...] = get_args(DecodingMode)
OF_CTC: tuple[DecodingMode, ...] = ("ctc_greedy", "rescore")
PLAIN = GenerationOptions(beam_size=4, n_best=1, max_length=8, length_penalty="none")


def labellings(model: CtcEncoderDecoder, source: Source) -> dict[Tokens, float]:
    """All that CTC can write for one source without the begin and the end token, which hypotheses never have."""
    with torch.inference_mode():
        memory = model.encode(source)
        log_probs = model.ctc_log_probs(memory)[0, : memory.lengths[0]]
    names = [token for token in range(log_probs.size(1)) if token not in (SPECIALS.bos, SPECIALS.eos)]
    found = all_labellings(log_probs[:, names])
    return {tuple(names[token] for token in tokens): score for tokens, score in found.items()}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("beam_size", [1, 5])
def test_a_source_is_written_alike_alone_and_in_batches(mode: DecodingMode, beam_size: int) -> None:
    model, source = ctc_model(vocab_size=12), toy_source(9, longest=10)
    options = GenerationOptions(beam_size=beam_size, max_length=12, preselect=6 if mode == "joint" else 0)
    whole = transcribe(model, source, mode, options, SPECIALS)
    pair = transcribe(model, source.select(torch.tensor([3, 0])), mode, options, SPECIALS)
    assert [len(each) for each in whole] == [1] * 9
    assert_same([best[0] for best in pair], [whole[3][0], whole[0][0]])
    for row in range(9):
        (one,) = transcribe(model, alone(source, row), mode, options, SPECIALS)
        assert_same(one, whole[row])


def test_modes_differ() -> None:
    model, source = ctc_model(vocab_size=12), toy_source(9, longest=10)
    found = {mode: transcribe(model, source, mode, PLAIN, SPECIALS) for mode in MODES}
    texts = {tuple(best[0].tokens for best in each) for each in found.values()}
    assert len(texts) == len(MODES)


def test_attention_is_generate() -> None:
    model, source = ctc_model(), toy_source(5)
    for beam_size in (1, 4):
        options = replace(PLAIN, beam_size=beam_size)
        assert transcribe(model, source, "attention", options, SPECIALS) == generate(model, source, options, SPECIALS)


def test_joint_without_ctc_is_attention() -> None:
    model, source = ctc_model(), toy_source(5)
    found = transcribe(model, source, "joint", PLAIN, SPECIALS, ctc_weight=0.0)
    assert found == transcribe(model, source, "attention", PLAIN, SPECIALS)


@pytest.mark.parametrize("seed", range(3))
def test_joint_with_ctc_alone_is_the_best_labelling(seed: int) -> None:
    model, source = ctc_model(vocab_size=6, seed=seed), toy_source(4, longest=4)
    options = replace(PLAIN, beam_size=200, n_best=3, max_length=4)
    found = transcribe(model, source, "joint", options, SPECIALS, ctc_weight=1.0)
    for row, best in enumerate(found):
        wanted = sorted(labellings(model, alone(source, row)).items(), key=lambda item: -item[1])[:3]
        assert [each.tokens for each in best] == [tokens for tokens, _ in wanted]
        assert [each.score for each in best] == pytest.approx([score for _, score in wanted], abs=1e-4)


@pytest.mark.parametrize("weight", [0.2, 0.7])
def test_a_wide_joint_beam_is_the_best_of_all_hypotheses(weight: float) -> None:
    model, source = ctc_model(vocab_size=6), toy_source(4, longest=4)
    options = GenerationOptions(beam_size=300, n_best=4, max_length=4)
    found = transcribe(model, source, "joint", options, SPECIALS, weight)
    for row, best in enumerate(found):
        assert_same(best, ranked(model, alone(source, row), options, weight)[: len(best)])


def ranked(model: CtcEncoderDecoder, source: Source, options: GenerationOptions, weight: float) -> list[Hypothesis]:
    """All hypotheses with the joint score, best first."""
    ctc = labellings(model, source)
    found = []
    for each in exhaustive(model, source, options):
        score = (1 - weight) * each.log_prob + weight * ctc.get(each.tokens, -inf)
        if score > -inf:
            length = len(each.tokens) + 1 if options.length_penalty == "average" else 1
            found.append(Hypothesis(each.tokens, score / length, each.log_prob, True))
    return sorted(found, key=lambda each: -each.score)


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_rescoring_ranks_the_labellings_by_both(weight: float) -> None:
    model, source = ctc_model(vocab_size=6), toy_source(4, longest=4)
    options = GenerationOptions(beam_size=300, n_best=5, max_length=4)
    found = transcribe(model, source, "rescore", options, SPECIALS, weight)
    for row, best in enumerate(found):
        assert_same(best, ranked(model, alone(source, row), options, weight)[:5])


def test_rescoring_knows_what_ctc_found_only() -> None:
    model, source = ctc_model(vocab_size=9), toy_source(5, longest=8)
    found = transcribe(model, source, "rescore", replace(PLAIN, beam_size=3, n_best=3), SPECIALS, 0.0)
    with torch.inference_mode():
        memory = model.encode(source)
        beams = ctc_beam(writable(model.ctc_log_probs(memory), SPECIALS), memory.lengths, BLANK, 3, 3)
    assert [{each.tokens for each in best} for best in found] == [{tokens for tokens, _ in beam} for beam in beams]


def test_the_begin_and_the_end_token_are_never_written() -> None:
    model = ctc_model()
    with torch.no_grad():
        model.ctc.projection.bias[[SPECIALS.bos, SPECIALS.eos]] = 50.0
    for mode in MODES:
        for best in transcribe(model, toy_source(5, longest=9), mode, PLAIN, SPECIALS):
            assert not {SPECIALS.bos, SPECIALS.eos, SPECIALS.pad} & set(best[0].tokens)


@pytest.mark.parametrize("mode", MODES)
def test_no_hypothesis_is_longer_than_its_limit(mode: DecodingMode) -> None:
    model, source = ctc_model(vocab_size=12), toy_source(8, longest=10)
    with torch.no_grad():
        model.ctc.projection.bias[BLANK] = -20.0  # a label in each frame
    found = transcribe(model, source, mode, replace(PLAIN, max_length=2), SPECIALS)
    assert all(len(best[0].tokens) <= 2 for best in found)
    if mode in OF_CTC:
        assert any(not best[0].finished for best in found)
        free = transcribe(model, source, mode, replace(PLAIN, max_length=10), SPECIALS)
        for cut, best in zip(found, free, strict=True):
            assert best[0].finished
            if mode == "ctc_greedy":
                assert cut[0].tokens == best[0].tokens[:2]
                assert cut[0].finished == (len(best[0].tokens) <= 2)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_gives_nothing(mode: DecodingMode) -> None:
    source = toy_source(3).select(torch.zeros(0, dtype=torch.int64))
    assert transcribe(ctc_model(), source, mode, PLAIN, SPECIALS) == []


def test_the_models_mode_is_restored() -> None:
    model = ctc_model().train()
    for mode in MODES:
        transcribe(model, toy_source(2), mode, PLAIN, SPECIALS)
        assert all(module.training for module in model.modules())


def test_contradictions_are_refused() -> None:
    model, source = ctc_model(), toy_source(2)
    drawing = GenerationOptions(sample=True)
    for mode in OF_CTC:
        for options, name in ((drawing, "sample"), (replace(PLAIN, min_length=1), "min_length")):
            with pytest.raises(ConfigError, match=name):
                transcribe(model, source, mode, options, SPECIALS)
        with pytest.raises(ConfigError, match="constraints"):
            transcribe(model, source, mode, PLAIN, SPECIALS, constraints=Constraints(forbidden=((4,),)))
    with pytest.raises(ConfigError, match="scorers"):
        transcribe(model, source, "ctc_greedy", PLAIN, SPECIALS, scorers=[TokenBonus(1.0, 7, SPECIALS.eos)])
    with pytest.raises(ConfigError, match="n_best"):
        transcribe(model, source, "ctc_greedy", replace(PLAIN, n_best=2), SPECIALS)
    with pytest.raises(ConfigError, match="ctc_weight"):
        transcribe(model, source, "joint", PLAIN, SPECIALS, ctc_weight=1.2)
    for mode in (*OF_CTC, "joint"):
        with pytest.raises(ConfigError, match="CTC head"):
            transcribe(toy_model(), source, mode, PLAIN, SPECIALS)

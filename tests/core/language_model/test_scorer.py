from __future__ import annotations

from dataclasses import replace
from math import log
from pathlib import Path

import pytest
import torch

from core.batch import Source
from core.ctc import DecodingMode, transcribe
from core.encoders.base import Memory
from core.errors import ConfigError, DataError
from core.generation import GenerationOptions, Hypothesis, generate
from core.generation.scorers import ScorerState, TokenBonus
from core.language_model import scorer as module
from core.language_model.arpa import write_arpa
from core.language_model.kneser_ney import estimate
from core.language_model.ngrams import BEGIN, Context, NgramModel
from core.language_model.options import LanguageModelOptions
from core.language_model.scorer import NgramScorer
from core.language_model.words import Spelling
from core.tokenization import TokenizerOptions, train_tokenizer
from tests.core.ctc.test_transcribe import labellings
from tests.core.ctc.toys import ctc_model
from tests.core.generation.toys import (
    SPECIALS,
    WIDTH,
    ToyDecoder,
    alone,
    assert_same,
    divisor,
    exhaustive,
    toy_model,
    toy_source,
)
from tests.core.language_model.toys import random_texts, toy_ngrams, writable

EOS = SPECIALS.eos
TYPES = 7


def extra(model: NgramModel, tokens: tuple[int, ...], weight: float = 1.0, bonus: float = 0.0) -> float:
    """What a language model and a bonus add to a whole hypothesis."""
    return weight * log(10) * sum(model.log_probs(tokens, EOS)) + bonus * len(tokens)


def steps(scorer: NgramScorer, texts: list[list[int]]) -> list[torch.Tensor]:
    """The scores of all tokens at each place of texts of one length, read side by side: (N, V) each."""
    source = toy_source(len(texts))
    state: ScorerState = scorer.start(source, Memory(torch.zeros(len(texts), 1, WIDTH), torch.ones(len(texts))))
    found = []
    for column in torch.tensor([[SPECIALS.bos, *text] for text in texts]).unbind(1):
        scores, state = scorer.step(column, state)
        found.append(scores)
    return found


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("cached", [module.CACHED, 0])
def test_scores_are_the_models_log_probabilities(monkeypatch: pytest.MonkeyPatch, order: int, cached: int) -> None:
    monkeypatch.setattr(module, "CACHED", cached)
    model, weight = toy_ngrams(9, order), 0.7
    texts = [text[:5] for text in random_texts(9, seed=3, longest=5) if len(text) >= 5][:10]
    texts += [[8] * 5, [4, 8, 4, 8, 5]]  # a type that the texts don't have
    for place, scores in enumerate(steps(NgramScorer(model, weight, 9), texts)):
        assert scores[:, [SPECIALS.pad, SPECIALS.bos]].eq(-torch.inf).all()
        assert torch.allclose((scores.double() / weight).exp().sum(1), torch.ones(1, dtype=torch.float64), atol=1e-6)
        for row, text in enumerate(texts):
            expected = [weight * log(10) * model.log_prob(t, (BEGIN, *text[:place])) for t in writable(9)]
            assert scores[row, writable(9)].tolist() == pytest.approx(expected, rel=1e-6)


def test_candidates_have_the_scores_that_they_have_among_all() -> None:
    scorer = NgramScorer(toy_ngrams(), 0.5, TYPES)
    state = scorer.start(toy_source(2), Memory(torch.zeros(2, 1, WIDTH), torch.ones(2)))
    tokens, candidates = torch.tensor([SPECIALS.bos] * 2), torch.tensor([[4, EOS], [6, 5]])
    assert torch.equal(scorer.step(tokens, state, candidates)[0], scorer.step(tokens, state)[0].gather(1, candidates))


@pytest.mark.parametrize("penalty", ["none", "average"])
@pytest.mark.parametrize("bonus", [0.0, 0.8])
def test_a_wide_beam_is_the_best_of_all_hypotheses(penalty: str, bonus: float) -> None:
    model, ngrams, source = toy_model(), toy_ngrams(TYPES), toy_source(3)
    options = GenerationOptions(beam_size=200, n_best=5, max_length=3, length_penalty=penalty)  # type: ignore[arg-type]
    scorers = [NgramScorer(ngrams, 0.6, TYPES), TokenBonus(bonus, TYPES, EOS)]
    found = generate(model, source, options, SPECIALS, scorers=scorers)
    for row, best in enumerate(found):
        every = [
            replace(h, score=(h.log_prob + extra(ngrams, h.tokens, 0.6, bonus)) / divisor(options, len(h.tokens) + 1))
            for h in exhaustive(model, alone(source, row), options)
        ]
        assert_same(best, sorted(every, key=lambda h: -h.score)[:5])


def joint(
    source: Source, options: GenerationOptions, ngrams: NgramModel, weights: tuple[float, float]
) -> list[Hypothesis]:
    """All hypotheses of one source by attention, CTC and a language model, best first."""
    model, (ctc, weight) = ctc_model(vocab_size=6), weights
    spelt = labellings(model, source)
    found = []
    for h in exhaustive(model, source, options):
        if h.tokens in spelt:
            total = (1 - ctc) * h.log_prob + ctc * spelt[h.tokens] + extra(ngrams, h.tokens, weight)
            found.append(replace(h, score=total / divisor(options, len(h.tokens) + 1)))
    return sorted(found, key=lambda h: -h.score)


@pytest.mark.parametrize("mode", ["joint", "rescore"])
def test_ctc_attention_and_a_language_model_add_up(mode: DecodingMode) -> None:
    source, ngrams = toy_source(4, longest=4), toy_ngrams(6)
    options = GenerationOptions(beam_size=300, n_best=4, max_length=4)
    scorers = [NgramScorer(ngrams, 0.5, 6)]
    found = transcribe(ctc_model(vocab_size=6), source, mode, options, SPECIALS, 0.4, scorers=scorers)
    without = transcribe(ctc_model(vocab_size=6), source, mode, options, SPECIALS, 0.4)
    assert [best[0].tokens for best in found] != [best[0].tokens for best in without]
    for row, best in enumerate(found):
        assert_same(best, joint(alone(source, row), options, ngrams, (0.4, 0.5))[: len(best)])


@pytest.mark.parametrize("mode", ["attention", "joint", "rescore"])
@pytest.mark.parametrize("beam_size", [1, 5])
def test_a_source_is_written_alike_alone_and_in_batches(mode: DecodingMode, beam_size: int) -> None:
    model, source, ngrams = ctc_model(vocab_size=12), toy_source(9, longest=10), toy_ngrams(12, 4)
    options = GenerationOptions(beam_size=beam_size, max_length=12, preselect=6 if mode == "joint" else 0)
    scorers = [NgramScorer(ngrams, 0.6, 12), TokenBonus(0.4, 12, EOS)]
    whole = transcribe(model, source, mode, options, SPECIALS, scorers=scorers)
    for row in range(9):
        fresh = [NgramScorer(ngrams, 0.6, 12), TokenBonus(0.4, 12, EOS)]
        (one,) = transcribe(model, alone(source, row), mode, options, SPECIALS, scorers=fresh)
        assert_same(one, whole[row])


def test_what_is_drawn_follows_the_language_model_too() -> None:
    certain = estimate([[4, 5]], 3, writable(TYPES), EOS)
    options = GenerationOptions(sample=True, n_best=20, max_length=4)
    found = generate(toy_model(), toy_source(1), options, SPECIALS, scorers=[NgramScorer(certain, 50.0, TYPES)])
    assert {h.tokens for h in found[0]} == {(4, 5)}


def test_probabilities_above_one_are_one() -> None:
    careless = NgramModel(2, {(): Context({4: -0.1, EOS: -0.5}), (BEGIN,): Context({}, backoff=0.3)})
    (scores,) = steps(NgramScorer(careless, 1.0, TYPES), [[]])
    assert scores[0, 4] == 0
    assert scores[0, EOS].item() == pytest.approx(-0.2 * log(10))


def test_own_words_are_refused() -> None:
    memory = Memory(torch.zeros(1, 1, WIDTH), torch.ones(1), extra_types=2)
    with pytest.raises(ConfigError, match="the sources' own words"):
        NgramScorer(toy_ngrams(), 0.5, TYPES).start(toy_source(1), memory)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_weights_out_of_range_are_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match="must be above 0"):
        NgramScorer(toy_ngrams(), weight, TYPES)
    with pytest.raises(ConfigError, match=r"model.language_model.weight must be above 0"):
        LanguageModelOptions("lm.arpa", weight)


def test_a_bonus_needs_a_model() -> None:
    with pytest.raises(ConfigError, match=r"bonus is 0.5, but there is no model.language_model.path"):
        LanguageModelOptions(bonus=0.5)
    with pytest.raises(ConfigError, match="finite"):
        LanguageModelOptions("lm.arpa", bonus=float("inf"))


def test_options_make_the_scorers(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["ab a"] * 2, TokenizerOptions(kind="characters"))
    spelling, decoder = Spelling(tokenizer), ToyDecoder(len(tokenizer) + 1)  # a pretrained one may have spare types
    path = str(tmp_path / "lm.arpa")
    assert LanguageModelOptions().scorers(tokenizer, decoder) == ()
    with pytest.raises(DataError, match=r"lm.arpa: there is no such file"):
        LanguageModelOptions(path).scorers(tokenizer, decoder)
    write_arpa(estimate([tokenizer.encode("ab")], 2, spelling.types, spelling.eos), path, spelling)
    first, second = LanguageModelOptions(path, 0.5, 0.1).scorers(tokenizer, decoder)
    assert isinstance(first, NgramScorer)
    assert isinstance(second, TokenBonus)
    (scores,) = steps(first, [[]])
    assert scores.shape == (1, len(tokenizer) + 1)
    assert len(LanguageModelOptions(path).scorers(tokenizer, decoder)) == 1

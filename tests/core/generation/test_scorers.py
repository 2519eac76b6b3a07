from __future__ import annotations

from dataclasses import dataclass
from math import log

import pytest
import torch
from torch import Tensor

from core.batch import Source
from core.encoders.base import Memory
from core.errors import ConfigError
from core.generation import GenerationOptions, Hypothesis, generate
from core.generation.scorers import LanguageModelScorer, ModelScorer, Scorer, ScorerState, TokenBonus
from core.seq2seq import EncoderDecoder
from tests.core.generation.toys import (
    SPECIALS,
    WIDTH,
    ToyDecoder,
    alone,
    assert_same,
    divisor,
    exhaustive,
    log_prob,
    table_model,
    toy_model,
    toy_source,
)


def rescored(
    model: EncoderDecoder, source: Source, extra: dict[tuple[int, ...], float], options: GenerationOptions
) -> list[Hypothesis]:
    found = [
        Hypothesis(h.tokens, (h.log_prob + extra[h.tokens]) / divisor(options, len(h.tokens) + 1), h.log_prob, True)
        for h in exhaustive(model, source, options)
    ]
    return sorted(found, key=lambda h: -h.score)[: options.n_best]


def test_ensembles_average_probabilities() -> None:
    first, second = [0.0, 0.0, 0.1, 0.6, 0.3], [0.0, 0.0, 0.5, 0.1, 0.4]
    models = [table_model([[log(p + 1e-30) for p in row]] * 5) for row in (first, second)]
    options = GenerationOptions(max_length=1)
    (best,) = generate(models, toy_source(1), options, SPECIALS)[0]
    # averages: end 0.3, 3: 0.35, 4: 0.35; then the end token has 0.3
    assert best.tokens[0] in (3, 4)
    assert best.log_prob == pytest.approx(log(0.35))
    (best,) = generate(models, toy_source(1), GenerationOptions(beam_size=4, max_length=1, n_best=1), SPECIALS)[0]
    assert not best.tokens
    assert best.log_prob == pytest.approx(log(0.3))


def test_an_ensemble_of_one_model_twice_is_that_model() -> None:
    model, source = toy_model(vocab_size=20), toy_source(5)
    options = GenerationOptions(beam_size=3, n_best=3, max_length=9)
    for ours, theirs in zip(
        generate([model, model], source, options, SPECIALS), generate(model, source, options, SPECIALS), strict=True
    ):
        assert_same(ours, theirs)


def test_ensembles_keep_each_models_own_state() -> None:
    models, source = [toy_model(seed=1), toy_model(seed=2)], toy_source(3)
    ours = generate(models, source, GenerationOptions(beam_size=200, max_length=2), SPECIALS)
    for index in range(3):
        one = alone(source, index)
        for hypothesis in ours[index]:
            total = 0.0
            for place, token in enumerate([*hypothesis.tokens, SPECIALS.eos]):
                read = torch.tensor([[SPECIALS.bos, *hypothesis.tokens[:place]]])
                with torch.inference_mode():
                    chances = [m(one, read)[0, -1].double().softmax(0)[token] for m in models]
                total += log(float(sum(chances)) / 2)
            assert hypothesis.log_prob == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("bonus", [0.7, -0.3, 5.0])
@pytest.mark.parametrize("beam", [200, 5])
def test_a_bonus_counts_tokens(bonus: float, beam: int) -> None:
    model, source = toy_model(), toy_source(2)
    options = GenerationOptions(beam_size=beam, n_best=5, max_length=3, length_penalty="none")
    ours = generate(model, source, options, SPECIALS, scorers=[TokenBonus(bonus, 7, SPECIALS.eos)])
    for index in range(2):
        for hypothesis in ours[index]:
            expected = log_prob(model, alone(source, index), hypothesis.tokens, hypothesis.finished)
            assert hypothesis.log_prob == pytest.approx(expected, abs=1e-4)
            assert hypothesis.score == pytest.approx(expected + bonus * len(hypothesis.tokens), abs=1e-4)
        if beam == 200:
            found = exhaustive(model, alone(source, index), options)
            extra = {h.tokens: bonus * len(h.tokens) for h in found}
            assert_same(ours[index], rescored(model, alone(source, index), extra, options))


def test_scores_above_zero_are_never_stopped_early() -> None:
    # ending at once scores log 0.8, above going on's log 0.2 + 1, but what follows that adds more than zero a token
    end, cost, gain = [0.0, 0.0, 0.8, 0.2, 0.0], [0.0, 0.0, 0.01, 0.0, 0.99], [0.0, 0.0, 0.3, 0.0, 0.7]
    rows = [[log(p + 1e-30) for p in row] for row in (end, end, end, cost, gain)]
    model, source, bonus = table_model(rows), toy_source(1), TokenBonus(1.0, 5, SPECIALS.eos)
    options = GenerationOptions(beam_size=50, max_length=4, length_penalty="none")
    assert generate(model, source, options, SPECIALS)[0][0].tokens == ()
    (best,) = generate(model, source, options, SPECIALS, scorers=[bonus])[0]
    assert best.tokens == (3, 4, 4, 4)
    assert best.score == pytest.approx(4 * 1.0 + log(0.2 * 0.99 * 0.7 * 0.7 * 0.3))


@pytest.mark.parametrize("preselect", [0, 7])
def test_language_models_and_second_models_add_up(preselect: int) -> None:
    model, second, source = toy_model(seed=1), toy_model(seed=2), toy_source(2)
    torch.manual_seed(5)
    decoder, memory = ToyDecoder(7), Memory(torch.zeros(1, 1, WIDTH), torch.tensor([1]))
    scorers = [LanguageModelScorer(decoder, memory, 0.4), ModelScorer([second], 0.2)]
    options = GenerationOptions(beam_size=200, n_best=6, max_length=3, preselect=preselect)
    ours = generate(model, source, options, SPECIALS, scorers=scorers)
    for index in range(2):
        one, extra = alone(source, index), {}
        for found in exhaustive(model, one, options):
            written = [*found.tokens, SPECIALS.eos]
            with torch.inference_mode():
                logits = decoder(torch.tensor([[SPECIALS.bos, *found.tokens]]), memory)[0].double().log_softmax(1)
            language = sum(float(logits[place, token]) for place, token in enumerate(written))
            extra[found.tokens] = 0.4 * language + 0.2 * log_prob(second, one, found.tokens)
        assert_same(ours[index], rescored(model, one, extra, options))


@dataclass(frozen=True)
class Seen(ScorerState):
    """What each row has read, and how long its source is: a stand-in for a CTC prefix scorer's state."""

    tokens: Tensor
    lengths: Tensor

    def reorder(self, rows: Tensor, sources: Tensor | None = None) -> Seen:
        return Seen(self.tokens[rows], self.lengths if sources is None else self.lengths[sources])


class Wanted(Scorer):
    """Gives 0 to the n-th token that the source's length says, -1 to others; checks the rows' own past."""

    def __init__(self, eos: int) -> None:
        self.asked: list[int] = []
        self.eos = eos

    def start(self, source: Source, memory: Memory) -> Seen:
        return Seen(torch.zeros(len(source), 0, dtype=torch.int64), memory.lengths)

    def step(self, tokens: Tensor, state: ScorerState, candidates: Tensor | None = None) -> tuple[Tensor, ScorerState]:
        assert isinstance(state, Seen)
        assert candidates is not None
        self.asked.append(candidates.size(1))
        after = Seen(torch.cat([state.tokens, tokens.unsqueeze(1)], 1), state.lengths)
        width = len(tokens) // len(state.lengths)
        wanted = 3 + (after.tokens.sum(1) + state.lengths.repeat_interleave(width)) % 10
        return -5.0 * ((candidates != wanted.unsqueeze(1)) & (candidates != self.eos)), after


@pytest.mark.parametrize("beam", [1, 4])
def test_scorers_with_state_follow_the_rows_and_see_the_preselected(beam: int) -> None:
    model, source = toy_model(vocab_size=15, scale=0.3), toy_source(10)
    scorer = Wanted(SPECIALS.eos)
    options = GenerationOptions(beam_size=beam, max_length=6, min_length=2, preselect=12, length_penalty="none")
    ours = generate(model, source, options, SPECIALS, scorers=[scorer])
    assert set(scorer.asked) == {13}
    for index, (best,) in enumerate(ours):
        read, score = SPECIALS.bos, best.log_prob
        for token in best.tokens:
            score -= 5.0 * (token != 3 + (read + int(source.lengths[index])) % 10)
            read += token
        assert best.score == pytest.approx(score, abs=1e-3)


@pytest.mark.parametrize("beam", [1, 30])
def test_a_models_weight_multiplies_its_log_probabilities(beam: int) -> None:
    model, source = toy_model(), toy_source(4)
    options = GenerationOptions(beam_size=beam, max_length=4)
    plain = generate(model, source, options, SPECIALS)
    for (ours,), (theirs,) in zip(generate(model, source, options, SPECIALS, model_weight=0.25), plain, strict=True):
        assert (ours.tokens, ours.finished) == (theirs.tokens, theirs.finished)
        assert ours.score == pytest.approx(theirs.score / 4, abs=1e-5)
        assert ours.log_prob == pytest.approx(theirs.log_prob, abs=1e-5)


def test_a_model_of_no_weight_leaves_the_choice_to_the_scorers() -> None:
    model, second, source = toy_model(seed=1), toy_model(seed=2), toy_source(4)
    options = GenerationOptions(beam_size=5, max_length=4)
    ours = generate(model, source, options, SPECIALS, scorers=[ModelScorer([second])], model_weight=0.0)
    wanted = generate(second, source, options, SPECIALS)
    assert [best[0].tokens for best in ours] == [best[0].tokens for best in wanted]
    assert [best[0].score for best in ours] == pytest.approx([best[0].score for best in wanted], abs=1e-4)


def test_weights_are_numbers() -> None:
    with pytest.raises(ConfigError, match="bonus"):
        TokenBonus(float("nan"), 5, 2)
    with pytest.raises(ConfigError, match="weight"):
        ModelScorer([toy_model()], float("inf"))
    for weight in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match="weight"):
            generate(toy_model(), toy_source(1), GenerationOptions(), SPECIALS, model_weight=weight)

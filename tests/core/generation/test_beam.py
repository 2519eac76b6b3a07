from __future__ import annotations

from dataclasses import replace
from math import inf, log
from typing import Literal
from unittest.mock import patch

import pytest
import torch

from core.batch import Source, TextBatch
from core.generation import GenerationOptions, Hypothesis, generate
from core.generation.constraints import Constraints
from core.generation.entry import evaluating
from core.generation.lengths import length_limits
from core.generation.options import LengthPenalty
from core.generation.processors import make_processors
from core.generation.scorers import ModelScorer
from core.generation.search import Judges, search
from core.generation.strategies.beam import BeamSearch
from core.seq2seq import EncoderDecoder
from tests.core.generation.toys import (
    SPECIALS,
    alone,
    assert_same,
    divisor,
    exhaustive,
    log_prob,
    table_model,
    toy_model,
    toy_source,
)

PENALTIES: list[tuple[LengthPenalty, float]] = [
    ("none", 1.0),
    ("average", 1.0),
    ("average", 0.6),
    ("average", -0.5),
    ("gnmt", 0.6),
    ("gnmt", 2.0),
]


def reference_beam(model: EncoderDecoder, source: Source, options: GenerationOptions) -> list[Hypothesis]:
    """The definition, one source at a time, without caches: what BeamSearch's docstring says."""
    vocab_size, beam = model.decoder.embedding.num_embeddings, options.beam_size
    opened: list[tuple[tuple[int, ...], float]] = [((), 0.0)]
    finished: list[Hypothesis] = []
    for length in range(options.max_length + 1):
        with torch.inference_mode():
            read = torch.tensor([[SPECIALS.bos, *tokens] for tokens, _ in opened])
            memory = model.encode(source).select(torch.zeros(len(opened), dtype=torch.int64))
            logits = model.decode(read, memory)[:, -1].double().log_softmax(1)
        candidates = [
            (tokens, token, total + float(logits[row, token]))
            for row, (tokens, total) in enumerate(opened)
            for token in range(vocab_size)
            if token not in (SPECIALS.pad, SPECIALS.bos) and (token != SPECIALS.eos or length >= options.min_length)
        ]
        candidates.sort(key=lambda candidate: -candidate[2])
        for tokens, token, total in candidates[:beam]:
            if token == SPECIALS.eos:
                finished.append(Hypothesis(tokens, total / divisor(options, length + 1), total, True))
        if length == options.max_length:
            break
        longer = [((*tokens, token), total) for tokens, token, total in candidates if token != SPECIALS.eos][:beam]
        reached = sorted((hypothesis.score for hypothesis in finished), reverse=True)[: options.n_best][-1:]
        if len(finished) >= beam and (
            options.stop == "count" or reached[0] >= longer[0][1] / divisor(options, length + 1)
        ):
            break
        opened = longer
    finished.sort(key=lambda hypothesis: -hypothesis.score)
    cut = [Hypothesis(tokens, total / divisor(options, max(1, len(tokens))), total, False) for tokens, total in opened]
    cut.sort(key=lambda hypothesis: -hypothesis.score)
    return [*finished, *cut][: options.n_best]


@pytest.mark.parametrize(("penalty", "alpha"), PENALTIES)
@pytest.mark.parametrize("early_stopping", [True, False])
def test_wide_beam_is_exhaustive(penalty: LengthPenalty, alpha: float, early_stopping: bool) -> None:
    options = GenerationOptions(
        beam_size=200,
        n_best=7,
        max_length=3,
        length_penalty=penalty,
        alpha=alpha,
        early_stopping=early_stopping,
    )
    source = toy_source(3)
    for seed in range(3):
        model = toy_model(seed=seed)
        ours = generate(model, source, options, SPECIALS)
        for index in range(3):
            assert_same(ours[index], exhaustive(model, alone(source, index), options)[:7])


def test_wide_beam_returns_every_sequence_once() -> None:
    model, source = toy_model(vocab_size=5), toy_source(1)
    options = GenerationOptions(beam_size=50, n_best=50, max_length=3, min_length=1)
    ours = generate(model, source, options, SPECIALS)[0]
    assert sum(h.finished for h in ours) == 2 + 4 + 8
    assert_same([h for h in ours if h.finished], exhaustive(model, source, options))


@pytest.mark.parametrize(("penalty", "alpha"), PENALTIES)
@pytest.mark.parametrize("beam", [2, 3, 5])
@pytest.mark.parametrize("stop", ["best", "count"])
def test_narrow_beams_follow_the_definition(
    penalty: LengthPenalty, alpha: float, beam: int, stop: Literal["best", "count"]
) -> None:
    source = toy_source(4)
    for seed in range(4):
        model = toy_model(vocab_size=12, seed=seed, scale=1.0)
        options = GenerationOptions(
            beam_size=beam,
            n_best=2,
            max_length=8,
            min_length=seed % 3,
            length_penalty=penalty,
            alpha=alpha,
            stop=stop,
        )
        ours = generate(model, source, options, SPECIALS)
        for index in range(len(source)):
            assert_same(ours[index], reference_beam(model, alone(source, index), options))


@pytest.mark.parametrize(("penalty", "alpha"), PENALTIES)
def test_early_stopping_changes_nothing(penalty: LengthPenalty, alpha: float) -> None:
    source = toy_source(6)
    for seed in range(30):
        model = toy_model(vocab_size=8, seed=seed, scale=0.5 + seed / 10)
        for n_best in (1, 3):
            options = GenerationOptions(
                beam_size=4, n_best=n_best, max_length=4 + seed % 9, length_penalty=penalty, alpha=alpha
            )
            stopped = generate(model, source, options, SPECIALS)
            run_on = generate(model, source, replace(options, early_stopping=False), SPECIALS)
            for ours, theirs in zip(stopped, run_on, strict=True):
                assert_same(ours, theirs)


@pytest.mark.parametrize("early_stopping", [True, False])
def test_early_stopping_waits_for_what_length_can_repair(early_stopping: bool) -> None:
    # ending at once averages log 0.8; the chain 3, 4, ... 20 begins with log 0.1 and then costs nothing for 18 tokens
    begin = [0.1, 0.0, 0.8, 0.1] + [0.0] * 17
    chain = [[float(column == (row + 1 if row < 20 else SPECIALS.eos)) for column in range(21)] for row in range(3, 21)]
    rows = torch.tensor([begin] * 3 + chain).log().tolist()
    options = GenerationOptions(beam_size=3, max_length=25, early_stopping=early_stopping)
    (best,) = generate(table_model(rows), toy_source(1), options, SPECIALS)[0]
    assert best.tokens == tuple(range(3, 21))
    assert best.score == pytest.approx(log(0.1) / 19)


@pytest.mark.parametrize(("stop", "written"), [("best", tuple(range(3, 10))), ("count", (3,))])
def test_fragments_do_not_end_a_source_that_has_a_better_open_one(
    stop: Literal["best", "count"], written: tuple[int, ...]
) -> None:
    # as label smoothing makes it: at each step of the chain 3, 4, ... 9 "end now" is the second best. The fragments
    # () and (3) average log 0.4 = -0.92 and log 0.24 / 2 = -0.71, the whole chain 7 log 0.6 / 8 = -0.45
    chain = [[0.0] * 10 for _ in range(10)]
    for row in range(9):
        chain[row][max(row + 1, 3)], chain[row][SPECIALS.eos] = 0.6, 0.4
    chain[9][SPECIALS.eos] = 1.0
    options = GenerationOptions(beam_size=2, max_length=20, stop=stop)
    (best,) = generate(table_model(torch.tensor(chain).log().tolist()), toy_source(1), options, SPECIALS)[0]
    assert best.tokens == written


def test_early_stopping_saves_steps() -> None:
    # after the first step: "end" has 0.9, so no open hypothesis, at 0.1 or less, can pass it without a penalty
    ended = torch.tensor([1e-9, 1e-9, 0.9, 0.05, 0.05]).log().tolist()
    model, source = table_model([ended] * 5), toy_source(1)
    options = GenerationOptions(beam_size=4, max_length=50, length_penalty="none")
    assert steps(model, source, options) == 1
    assert steps(model, source, replace(options, early_stopping=False)) > 1


def steps(model: EncoderDecoder, source: Source, options: GenerationOptions) -> int:
    with patch.object(model.decoder, "step", wraps=model.decoder.step) as step:
        generate(model, source, options, SPECIALS)
    return step.call_count


def beam_of_one(model: EncoderDecoder, source: Source, options: GenerationOptions) -> list[list[Hypothesis]]:
    scorer = ModelScorer([model])
    with torch.inference_mode(), evaluating([model]):
        memory = model.encode(source)
        device = memory.states.device
        limits = length_limits(options, Constraints(), memory.lengths)
        strategy = BeamSearch(options, limits, SPECIALS.eos, device)
        processors = make_processors(options, Constraints(), SPECIALS, len(source), device)
        search(Judges(scorer, (), 0, SPECIALS.eos), strategy, processors, source, memory, SPECIALS.bos)
        return strategy.hypotheses()


@pytest.mark.parametrize("options", [GenerationOptions(max_length=9), GenerationOptions(max_length=9, min_length=3)])
def test_a_beam_of_one_is_greedy(options: GenerationOptions) -> None:
    source = toy_source(5)
    for seed in range(20):
        model = toy_model(vocab_size=15, seed=seed)
        assert beam_of_one(model, source, options) == generate(model, source, options, SPECIALS)


def test_a_beam_of_one_is_greedy_where_scores_are_equal() -> None:
    model = table_model([[0.0] * 9] * 9)
    options = GenerationOptions(max_length=4)
    assert beam_of_one(model, toy_source(3), options) == generate(model, toy_source(3), options, SPECIALS)


def test_greedy_takes_the_best_token() -> None:
    model, source = toy_model(vocab_size=9, seed=3), toy_source(4)
    for index, (best,) in enumerate(generate(model, source, GenerationOptions(max_length=6), SPECIALS)):
        one = alone(source, index)
        read = [SPECIALS.bos]
        while len(read) <= 7:
            with torch.inference_mode():
                logits = model(one, torch.tensor([read]))[0, -1]
                logits[[SPECIALS.pad, SPECIALS.bos]] = -inf
            read.append(int(logits.argmax()))
            if read[-1] == SPECIALS.eos:
                break
        finished = read[-1] == SPECIALS.eos
        tokens = tuple(read[1:-1])
        assert (best.tokens, best.finished) == (tokens, finished)
        assert best.log_prob == pytest.approx(log_prob(model, one, tokens, finished), abs=1e-4)


@pytest.mark.parametrize("beam", [1, 4])
def test_a_batch_is_its_sentences_one_by_one(beam: int) -> None:
    source = toy_source(32)
    model = toy_model(vocab_size=40, scale=1.0)
    options = GenerationOptions(beam_size=beam, n_best=beam, max_length=12, max_length_ratio=1.5, max_length_offset=2)
    together = generate(model, source, options, SPECIALS)
    assert len({len(best[0].tokens) for best in together}) > 3  # sources leave the batch at different times
    for index in range(32):
        assert_same(together[index], generate(model, alone(source, index), options, SPECIALS)[0])


def test_length_limits_by_ratio() -> None:
    never_ends = [0.0, 0.0, -50.0, 0.0, 0.0]
    model = table_model([never_ends] * 5)
    source = TextBatch(torch.full((3, 8), 4), torch.tensor([2, 8, 5]))
    options = GenerationOptions(max_length=9, max_length_ratio=1.5, max_length_offset=1)
    best = generate(model, source, options, SPECIALS)
    assert [len(b[0].tokens) for b in best] == [4, 9, 8]  # floor(1.5 * length) + 1, at most 9
    assert not any(b[0].finished for b in best)
    best = generate(model, source, replace(options, min_length=6, beam_size=2), SPECIALS)
    assert [len(b[0].tokens) for b in best] == [6, 9, 8]


def test_finished_ranks_before_what_was_cut() -> None:
    # the end token is unlikely (0.04), going on is likely: without the rule a cut hypothesis would score better
    row = torch.tensor([1e-9, 1e-9, 0.04, 0.96, 1e-9]).log().tolist()
    options = GenerationOptions(beam_size=3, n_best=3, max_length=4)
    best = generate(table_model([row] * 5), toy_source(1), options, SPECIALS)[0]
    assert [h.finished for h in best] == sorted((h.finished for h in best), reverse=True)
    assert best[0].finished


@pytest.mark.parametrize("options", [GenerationOptions(max_length=5), GenerationOptions(beam_size=3, max_length=5)])
def test_nothing_to_write_is_cut(options: GenerationOptions) -> None:
    for bad in (float("nan"), -inf):
        best = generate(table_model([[bad] * 6] * 6), toy_source(2), options, SPECIALS)
        assert [[(h.tokens, h.finished, h.log_prob) for h in b] for b in best] == [[((), False, 0.0)]] * 2


@pytest.mark.parametrize("beam", [1, 2, 8])
def test_dead_ends_are_cut(beam: int) -> None:
    # 3 then 4, and after 4 nothing at all
    nothing = [-inf] * 6
    model = table_model(
        [nothing, [-inf, -inf, -inf, 0.0, -inf, -inf], nothing, [-inf] * 4 + [0.0, -inf], nothing, nothing]
    )
    options = GenerationOptions(beam_size=beam, max_length=9)
    (best,) = generate(model, toy_source(1), options, SPECIALS)[0]
    assert (best.tokens, best.finished, best.log_prob) == ((3, 4), False, 0.0)


@pytest.mark.parametrize("vocab_size", [4, 5])
def test_vocabularies_smaller_than_the_beam(vocab_size: int) -> None:
    model, source = toy_model(vocab_size=vocab_size), toy_source(2)
    options = GenerationOptions(beam_size=12, n_best=12, max_length=2)
    for index, best in enumerate(generate(model, source, options, SPECIALS)):
        finished = [h for h in best if h.finished]
        assert_same(finished, exhaustive(model, alone(source, index), options))


def test_no_sources() -> None:
    assert generate(toy_model(), toy_source(0), GenerationOptions(beam_size=2), SPECIALS) == []


def test_scores_in_half_precision_are_summed_in_float32() -> None:
    model = toy_model(vocab_size=30)
    model.decoder.head.bfloat16()
    half = model.decoder.head.forward
    model.decoder.head.forward = lambda x: half(x.bfloat16())
    source = toy_source(3)
    options = GenerationOptions(beam_size=3, max_length=20, min_length=15)
    for index, (best,) in enumerate(generate(model, source, options, SPECIALS)):
        assert best.log_prob == pytest.approx(
            log_prob(model, alone(source, index), best.tokens, best.finished), abs=1e-3
        )


def test_the_mode_of_each_module_is_restored() -> None:
    model = toy_model()
    model.train()
    model.encoder.eval()  # as a frozen encoder is
    seen = []
    model.decoder.head.register_forward_hook(lambda module, *_: seen.append(module.training))
    generate(model, toy_source(2), GenerationOptions(max_length=3), SPECIALS)
    assert set(seen) == {False}
    assert model.training
    assert model.decoder.head.training
    assert not model.encoder.training
    assert all(p.grad is None and p.requires_grad for p in model.parameters())

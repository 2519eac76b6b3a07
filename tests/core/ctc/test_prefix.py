from __future__ import annotations

from itertools import product
from math import exp, inf, log

import pytest
import torch
from torch import Tensor

from core.ctc import CtcPrefixScorer
from core.ctc.objective import ctc_loss
from core.ctc.prefix import PrefixState
from core.encoders.base import Memory
from core.errors import ConfigError
from tests.core.ctc.toys import BLANK, Tokens, all_labellings, ctc_model, random_log_probs
from tests.core.generation.toys import SPECIALS, toy_model, toy_source

BOS, EOS = SPECIALS.bos, SPECIALS.eos


def scorer_of(log_probs: Tensor, lengths: Tensor, weight: float = 1.0) -> tuple[CtcPrefixScorer, PrefixState]:
    """A scorer whose head is the identity, and its state over frames that are given."""
    model = ctc_model(log_probs.size(2))
    model.ctc.forward = lambda states: states  # type: ignore[method-assign]
    scorer = CtcPrefixScorer(model, weight, SPECIALS)
    return scorer, scorer.start(toy_source(len(lengths)), Memory(log_probs, lengths))


def read(scorer: CtcPrefixScorer, state: PrefixState, prefixes: Tensor) -> tuple[Tensor, Tensor, PrefixState]:
    """Reads prefixes (N, T), one row a source: the sum of their scores (N,), what comes next, and the state."""
    begin = torch.full((len(prefixes), 1), BOS)
    total = torch.zeros(len(prefixes))
    rows = torch.arange(len(prefixes))
    for place, token in enumerate(torch.cat([begin, prefixes], 1).unbind(1)):
        scores, after = scorer.step(token, state)
        assert isinstance(after, PrefixState)
        state = after
        if place < prefixes.size(1):
            total = total + scores[rows, prefixes[:, place]]
    return total, scores, state


def begins_with(labellings: dict[Tokens, float], prefix: Tokens) -> float:
    total = sum(exp(score) for tokens, score in labellings.items() if tokens[: len(prefix)] == prefix)
    return log(total) if total else -inf


# The begin and the end token are ordinary labels to CTC, and no hypothesis has them: they get nothing here.
def frames(batch: int, size: int, vocab_size: int = 6, seed: int = 0) -> Tensor:
    log_probs = random_log_probs(batch, size, vocab_size, seed)
    return log_probs.index_fill(2, torch.tensor([BOS, EOS]), -1e4).log_softmax(-1)


@pytest.mark.parametrize("prefix", [(), (3,), (3, 3), (4, 5), (5, 4, 5), (3, 3, 4), (4, 4, 4), (3, 4, 5, 3)])
def test_scores_are_what_the_list_of_all_labellings_says(prefix: Tokens) -> None:
    log_probs, lengths = frames(3, 5), torch.tensor([5, 3, 4])
    scorer, state = scorer_of(log_probs, lengths)
    total, following, _ = read(scorer, state, torch.tensor([prefix] * 3, dtype=torch.int64))
    for row, length in enumerate(lengths.tolist()):
        labels = log_probs[row, :length, [BLANK, 3, 4, 5]]
        names = {0: BLANK, 1: 3, 2: 4, 3: 5}
        labellings = {tuple(names[t] for t in tokens): score for tokens, score in all_labellings(labels).items()}
        before = begins_with(labellings, prefix)
        assert total[row].item() == pytest.approx(before, abs=1e-4)
        if before == -inf:
            assert (following[row] == -inf).all()
            continue
        for token in (3, 4, 5):
            wanted = begins_with(labellings, (*prefix, token)) - before
            assert following[row, token].item() == pytest.approx(wanted, abs=1e-4)
        assert following[row, EOS].item() == pytest.approx(labellings.get(prefix, -inf) - before, abs=1e-4)
        assert following[row, BLANK] == -inf


@pytest.mark.parametrize("weight", [1.0, 0.3])
def test_a_hypothesis_scores_its_log_probability(weight: float) -> None:
    log_probs, lengths = random_log_probs(8, 40, 12, seed=4), torch.tensor([40, 31, 25, 20, 18, 14, 12, 9])
    tokens = torch.randint(3, 6, (8, 7), generator=torch.Generator().manual_seed(5))  # a few types: many repeats
    scorer, state = scorer_of(log_probs, lengths, weight)
    total, following, _ = read(scorer, state, tokens)
    wanted = -ctc_loss(log_probs, lengths, tokens, torch.full((8,), 7), BLANK)
    assert wanted[:7].isfinite().all()
    torch.testing.assert_close(total + following[:, EOS], weight * wanted, rtol=1e-4, atol=1e-4)


def test_candidates_are_scored_as_among_all() -> None:
    scorer, state = scorer_of(frames(3, 8, 20), torch.tensor([8, 6, 2]))
    prefixes = torch.tensor([[5, 5], [7, 8], [9, 9]])  # the last is impossible: two frames, and a blank between
    _, following, state = read(scorer, state, prefixes[:, :1])
    candidates = torch.tensor([[5, 7, EOS, BLANK], [EOS, 8, 7, 12], [9, 4, EOS, 3]])
    everything, _ = scorer.step(prefixes[:, 1], state)
    chosen, _ = scorer.step(prefixes[:, 1], state, candidates)
    torch.testing.assert_close(chosen, everything.gather(1, candidates))
    assert chosen[0, 3] == -inf
    assert (chosen[2] == -inf).all()
    assert following.shape == everything.shape == (3, 20)


def test_rows_and_sources_go_on_as_if_alone() -> None:
    """One row a source, then two; beams swap and die; source 1 leaves and 2 comes first."""
    log_probs, lengths = frames(3, 12, 9), torch.tensor([12, 7, 9])
    scorer, state = scorer_of(log_probs, lengths)
    moves = {
        1: (torch.tensor([0, 0, 1, 1, 2, 2]), None, [0, 0, 1, 1, 2, 2]),
        3: (torch.tensor([1, 0, 2, 2, 5, 4]), None, [0, 0, 1, 1, 2, 2]),
        4: (torch.tensor([5, 4, 4, 1, 0, 0]), torch.tensor([2, 0]), [2, 2, 2, 0, 0, 0]),
        5: (torch.tensor([0, 4]), None, [2, 0]),
    }
    generator = torch.Generator().manual_seed(1)
    history, owners = torch.zeros(3, 0, dtype=torch.int64), [0, 1, 2]
    for time in range(6):
        if time in moves:
            rows, kept, owners = moves[time]
            state, history = state.reorder(rows, kept), history[rows]
        token = (
            torch.full((len(history),), BOS) if not time else torch.randint(3, 6, (len(history),), generator=generator)
        )
        history = torch.cat([history, token.unsqueeze(1)], 1)
        scores, after = scorer.step(token, state)
        assert isinstance(after, PrefixState)
        state = after
        for row, owner in enumerate(owners):
            size = int(lengths[owner])
            one, begun = scorer_of(log_probs[owner : owner + 1, :size], lengths[owner : owner + 1])
            torch.testing.assert_close(scores[row], read(one, begun, history[row : row + 1, 1:])[1][0])
    nothing = torch.zeros(0, dtype=torch.int64)
    assert state.reorder(nothing, nothing) is not None


def test_no_score_is_above_zero_nor_no_number() -> None:
    scorer, state = scorer_of(random_log_probs(4, 30, 8, scale=6.0), torch.tensor([30, 22, 3, 1]))
    assert scorer.bounded
    for prefix in product((3, 4), repeat=3):
        _, following, _ = read(scorer, state, torch.tensor([prefix] * 4))
        assert (following <= 0).all()
    # what strategies read for dead rows
    _, following, _ = read(scorer, state, torch.tensor([[EOS, BOS], [EOS, EOS], [BLANK, EOS], [3, 4]]))
    assert not following.isnan().any()


def test_a_long_source_neither_vanishes_nor_loses_digits() -> None:
    size, vocab_size = 3000, 10
    log_probs, lengths = random_log_probs(1, size, vocab_size, scale=4.0), torch.tensor([size])
    scorer, state = scorer_of(log_probs, lengths)
    tokens = torch.tensor([[3, 3, 7]])
    total, following, _ = read(scorer, state, tokens)
    wanted = -ctc_loss(log_probs.double(), lengths, tokens, torch.tensor([3]), BLANK)
    assert wanted < -2000
    torch.testing.assert_close((total + following[:, EOS]).double(), wanted, rtol=1e-6, atol=0)


def test_a_frame_that_is_certain_leaves_nothing_to_other_tokens() -> None:
    log_probs = torch.full((1, 2, 5), -inf)
    log_probs[0, :, 3] = 0
    scorer, state = scorer_of(log_probs, torch.tensor([2]))
    for prefix, certain in (([], 3), ([3], EOS)):
        _, following, _ = read(scorer, state, torch.tensor([prefix], dtype=torch.int64))
        assert following[0, certain] == 0
        assert (following[0, [token for token in range(5) if token != certain]] < -600).all()


def test_what_can_not_score_is_refused() -> None:
    with pytest.raises(ConfigError, match="CTC head"):
        CtcPrefixScorer(toy_model(), 0.5, SPECIALS)
    for weight in (0.0, -0.5, 1.5):
        with pytest.raises(ConfigError, match="ctc_weight"):
            CtcPrefixScorer(ctc_model(), weight, SPECIALS)

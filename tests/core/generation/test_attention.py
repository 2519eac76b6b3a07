from __future__ import annotations

from math import log

import pytest
import torch

from core.errors import ConfigError
from core.generation import GenerationOptions, Hypothesis, generate
from core.generation.attention import attend, coverage_penalty, rerank_by_coverage
from tests.core.generation.test_models import make
from tests.core.generation.toys import SPECIALS, alone, toy_model, toy_source


@pytest.mark.parametrize("kind", ["transformer", "gru", "rnn-bahdanau"])
def test_weights_are_distributions_over_the_source(kind: str) -> None:
    model, source = make(kind, 20), toy_source(4)
    model.train()
    best = [b[0] for b in generate(model, source, GenerationOptions(max_length=7, max_length_ratio=1.0), SPECIALS)]
    weights = attend(model, source, best, SPECIALS)
    assert weights is not None
    assert model.training
    for index, (each, hypothesis) in enumerate(zip(weights, best, strict=True)):
        written = len(hypothesis.tokens) + hypothesis.finished
        assert each.shape[1:] == (written, int(source.lengths[index]))
        torch.testing.assert_close(each.sum(2), torch.ones(each.shape[:2]))
        alone_weights = attend(model, alone(source, index), [hypothesis], SPECIALS)
        assert alone_weights is not None
        torch.testing.assert_close(each, alone_weights[0], atol=1e-5, rtol=1e-5)


def test_a_decoder_without_attention_has_none_to_show() -> None:
    model, source = toy_model(), toy_source(2)
    best = [Hypothesis((4,), 0.0, 0.0, True)] * 2
    assert attend(model, source, best, SPECIALS) is None
    assert attend(model, source, [], SPECIALS) == []
    with pytest.raises(ConfigError, match="ToyDecoder"):
        rerank_by_coverage(model, source, [best, best], SPECIALS, 0.2)


def test_coverage_counts_what_was_left_unread() -> None:
    weights = torch.tensor([[[0.5, 0.5, 0.0], [0.75, 0.0, 0.25]]])  # one layer: sums 1.25, 0.5, 0.25
    assert coverage_penalty(weights) == pytest.approx(log(0.5) + log(0.25))


def test_reranking_adds_the_penalty_and_sorts() -> None:
    model, source = make("transformer", 20), toy_source(3)
    options = GenerationOptions(beam_size=6, n_best=6, max_length=8)
    before = generate(model, source, options, SPECIALS)
    after = rerank_by_coverage(model, source, before, SPECIALS, 3.0)
    changed = False
    for index in range(3):
        expected = []
        for hypothesis in before[index]:
            weights = attend(model, alone(source, index), [hypothesis], SPECIALS)
            assert weights is not None
            expected.append((not hypothesis.finished, -hypothesis.score - 3.0 * coverage_penalty(weights[0])))
        assert [-h.score for h in after[index]] == pytest.approx([score for _, score in sorted(expected)], abs=1e-3)
        changed |= [h.tokens for h in before[index]] != [h.tokens for h in after[index]]
    assert changed

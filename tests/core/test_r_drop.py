from __future__ import annotations

import pytest
import torch

from core.decoders.transformer import TransformerDecoder
from core.encoders.transformer import TransformerEncoder
from core.errors import ConfigError
from core.objectives import CrossEntropy
from core.r_drop import RDrop
from core.seq2seq import EncoderDecoder
from tests.core.test_objectives import D_MODEL, SPECIALS, TYPES, Kind, gradients, make_batch, make_model


@pytest.mark.parametrize("kind", ["transformer", "recurrent"])
def test_without_dropout_the_passes_agree_and_cross_entropy_remains(kind: Kind) -> None:
    model, batch = make_model(kind), make_batch()
    expected, loss = (objective(model, batch, SPECIALS, 0) for objective in (CrossEntropy(0.1), RDrop(5.0, 0.1)))
    torch.testing.assert_close(loss.total, expected.total)
    torch.testing.assert_close(loss.nll, expected.nll)
    assert loss.tokens == expected.tokens
    assert float(loss.parts["divergence"]) == pytest.approx(0, abs=1e-4)
    for ours, other in zip(gradients(model, loss.total), gradients(model, expected.total), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-4, atol=1e-5)


def test_with_dropout_the_passes_differ_and_the_difference_costs() -> None:
    model, batch = make_model("transformer", dropout=0.3), make_batch((40,) * 20)
    losses = []
    for alpha in (0.0, 5.0):
        torch.manual_seed(3)
        losses.append(RDrop(alpha)(model, batch, SPECIALS, 0))
    free, costly = losses
    divergence = costly.parts["divergence"]
    assert divergence > 0
    torch.testing.assert_close(costly.total, free.total + 5 / 4 * divergence)


def test_refusals() -> None:
    encoder = TransformerEncoder(TYPES, D_MODEL, num_layers=1, num_heads=2, ffn_size=16)
    decoder = TransformerDecoder(TYPES, D_MODEL, D_MODEL, num_layers=1, num_heads=2, ffn_size=16, copy=True)
    model = EncoderDecoder(encoder, decoder)
    with pytest.raises(ConfigError, match=r"objective\.alpha must be at least 0, got -1"):
        RDrop(-1)
    with pytest.raises(ConfigError, match=r"set model\.decoder\.copy=false"):
        RDrop()(model, make_batch(), SPECIALS, 0)

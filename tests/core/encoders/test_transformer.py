from __future__ import annotations

import pytest
import torch

from core.encoders.transformer import TransformerEncoder
from core.errors import ConfigError
from core.layers.feed_forward import Activation
from core.layers.positions import Positions
from core.layers.transformer import Norm
from tests.contracts.encoder import TextEncoderContract, text_source

GRID: list[tuple[Norm, Positions, Activation]] = [
    ("pre", "sinusoidal", "relu"),
    ("post", "learned", "gelu"),
    ("pre", "rotary", "swiglu"),
    ("post", "none", "silu"),
]


class TestTransformerEncoder(TextEncoderContract):
    @pytest.fixture(autouse=True, params=GRID, ids=lambda kind: "-".join(kind))
    def build(self, request: pytest.FixtureRequest) -> None:
        norm, positions, activation = request.param
        torch.manual_seed(0)
        self.encoder = TransformerEncoder(
            17, d_model=8, num_layers=2, num_heads=2, ffn_size=16, norm=norm, positions=positions, activation=activation
        )
        self.source = text_source([5, 3, 1], vocab_size=17)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "rotary"])
def test_order_matters(positions: Positions) -> None:
    torch.manual_seed(0)
    encoder = TransformerEncoder(17, d_model=8, num_layers=1, num_heads=2, ffn_size=16, positions=positions).eval()
    source = text_source([5], vocab_size=17)
    turned = type(source)(source.values.flip(1), source.lengths)
    assert not torch.allclose(encoder(source).states.flip(1), encoder(turned).states, atol=1e-3)


def test_without_positions_order_does_not_matter() -> None:
    encoder = TransformerEncoder(17, d_model=8, num_layers=1, num_heads=2, ffn_size=16, positions="none").eval()
    source = text_source([5], vocab_size=17)
    turned = type(source)(source.values.flip(1), source.lengths)
    torch.testing.assert_close(encoder(source).states.flip(1), encoder(turned).states, atol=1e-5, rtol=1e-5)


def test_embeddings_begin_with_the_variance_of_the_papers() -> None:
    torch.manual_seed(0)
    embedding = TransformerEncoder(2000, d_model=64, num_layers=1).embedding
    assert embedding.weight.std().item() == pytest.approx(64**-0.5, rel=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_model": 10, "num_heads": 4}, "num_heads=4 and d_model=10"),
        ({"d_model": 9, "num_heads": 3}, "even d_model"),
        ({"d_model": 9, "num_heads": 3, "positions": "rotary"}, "must be even, got 3"),
        ({"positions": "relative"}, "relative"),
        ({"norm": "both"}, "both"),
        ({"dropout": 1.5}, "1.5"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TransformerEncoder(17, **options)  # type: ignore[arg-type]


def test_a_source_beyond_the_learned_positions_is_refused() -> None:
    encoder = TransformerEncoder(17, d_model=8, num_layers=1, positions="learned", max_positions=4)
    with pytest.raises(ConfigError, match=r"model\.encoder\.max_positions=4"):
        encoder(text_source([5], vocab_size=17))

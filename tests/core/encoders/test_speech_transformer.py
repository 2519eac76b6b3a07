from __future__ import annotations

from typing import Any

import pytest
import torch

from core.encoders.speech_transformer import SpeechTransformerEncoder
from core.errors import ConfigError
from core.layers.relative import FramePositions
from core.layers.transformer import Norm
from tests.contracts.encoder import FrameEncoderContract, awakened, frame_source

GRID: list[tuple[Norm, FramePositions]] = [
    ("pre", "sinusoidal"),
    ("post", "rotary"),
    ("pre", "relative"),
    ("post", "none"),
]


class TestSpeechTransformerEncoder(FrameEncoderContract):
    @pytest.fixture(autouse=True, params=GRID, ids=lambda kind: "-".join(kind))
    def build(self, request: pytest.FixtureRequest) -> None:
        norm, positions = request.param
        sizes: dict[str, Any] = {"d_model": 8, "num_layers": 2, "num_heads": 2, "ffn_size": 16, "conv_channels": 4}
        self.encoder = awakened(SpeechTransformerEncoder(12, **sizes, norm=norm, positions=positions))
        self.source = frame_source([31, 24, 7, 10], 12)


@pytest.mark.parametrize("positions", ["sinusoidal", "rotary", "relative", "none"])
@torch.no_grad()
def test_the_order_of_the_states_matters_unless_nothing_tells_it(positions: FramePositions) -> None:
    encoder = SpeechTransformerEncoder(12, 8, num_layers=1, num_heads=2, positions=positions).eval()
    awakened(encoder)
    encoder.subsample.forward = lambda frames: frames[:, ::4, :8]  # type: ignore[method-assign]
    encoder.subsample.output_lengths = lambda lengths: (lengths + 3) // 4  # type: ignore[method-assign]
    source = frame_source([29], 12)
    turned = type(source)(source.values.flip(1), source.lengths)
    same = torch.allclose(encoder(source).states.flip(1), encoder(turned).states, atol=1e-4)
    assert same == (positions == "none")


@torch.no_grad()
def test_a_fresh_stack_passes_its_frames_on() -> None:
    encoder = SpeechTransformerEncoder(12, 8, num_layers=3, num_heads=2, conv_channels=4, positions="rotary").eval()
    source = frame_source([41], 12)
    expected = torch.nn.functional.layer_norm(encoder.subsample(source.values), (8,))
    torch.testing.assert_close(encoder(source).states, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_model": 10, "num_heads": 4}, "num_heads=4 and d_model=10"),
        ({"d_model": 9, "num_heads": 3}, "even d_model"),
        ({"d_model": 9, "num_heads": 3, "positions": "relative"}, "even d_model"),
        ({"positions": "learned"}, "learned"),
        ({"norm": "both"}, "both"),
        ({"conv_channels": 0}, "channels"),
        ({"source_size": 10}, "at least 11 features a frame, got 10"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SpeechTransformerEncoder(**({"source_size": 12} | options))  # type: ignore[arg-type]

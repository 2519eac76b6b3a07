from __future__ import annotations

from typing import Any

import pytest
import torch

from core.encoders.conformer import ConformerEncoder
from core.errors import ConfigError
from tests.contracts.encoder import FrameEncoderContract, awakened, frame_source

GRID: list[dict[str, Any]] = [
    {},
    {"positions": "relative", "kernel_size": 31, "conv_norm": "batch"},
    {"positions": "sinusoidal", "activation": "swiglu"},
]


class TestConformerEncoder(FrameEncoderContract):
    @pytest.fixture(autouse=True, params=GRID, ids=str)
    def build(self, request: pytest.FixtureRequest) -> None:
        sizes: dict[str, Any] = {"d_model": 8, "num_layers": 2, "num_heads": 2, "ffn_size": 16, "conv_channels": 4}
        self.encoder = awakened(ConformerEncoder(12, **sizes, **request.param))
        self.source = frame_source([41, 24, 7, 10], 12)


@torch.no_grad()
def test_neighbours_are_seen_as_far_as_the_kernel_reaches() -> None:
    encoder = ConformerEncoder(12, d_model=8, num_layers=1, num_heads=2, conv_channels=4, kernel_size=3).eval()
    awakened(encoder)
    attention = encoder.layers[0].attention
    attention.output.weight.zero_()  # type: ignore[union-attr, operator]
    source = frame_source([83], 12)  # 20 states
    changed = source.values.clone()
    changed[0, 40] += 5.0  # frame 40 is read by the states 9 (36 to 42) and 10 (40 to 46)
    moved = (encoder(type(source)(changed, source.lengths)).states - encoder(source).states)[0].abs().amax(1) > 1e-5
    assert moved.nonzero().flatten().tolist() == [8, 9, 10, 11]


@torch.no_grad()
def test_a_fresh_stack_passes_its_frames_on() -> None:
    encoder = ConformerEncoder(12, d_model=8, num_layers=3, num_heads=2, conv_channels=4).eval()
    source = frame_source([41, 24], 12)
    memory = encoder(source)
    frames = source.values.masked_fill(torch.arange(41)[None, :, None] >= source.lengths[:, None, None], 0.0)
    expected = torch.nn.functional.layer_norm(encoder.subsample(frames), (8,))
    torch.testing.assert_close(memory.states[memory.mask], expected[memory.mask], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 8}, "kernel_size must be odd.* 8"),
        ({"conv_norm": "group"}, "layer or batch, got 'group'"),
        ({"positions": "learned"}, "learned"),
        ({"num_heads": 5}, "num_heads=5 and d_model=144"),
    ],
)
def test_what_does_not_fit_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ConformerEncoder(12, **options)  # type: ignore[arg-type]

"""The small CNN: the contract over a grid, and what is its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.encoders.image_cnn import SmallCnnEncoder
from core.errors import ConfigError
from core.layers.grid import ProjectionOptions
from tests.contracts.image_encoder import ImageEncoderContract, image_source

GRID: list[dict[str, Any]] = [
    {"source_size": 3, "image_size": 64},
    {"source_size": 1, "image_size": 24, "channels": (16, 32), "strides": (4, 2), "depth": 1},
    {
        "source_size": 3,
        "image_size": 32,
        "channels": (16,),
        "strides": (8,),
        "projection": ProjectionOptions(positions=False, num_layers=2, num_heads=2, ffn_size=16),
    },
]


class TestSmallCnnEncoder(ImageEncoderContract):
    @pytest.fixture(autouse=True, params=GRID, ids=str)
    def build(self, request: pytest.FixtureRequest) -> None:
        torch.manual_seed(0)
        self.encoder = SmallCnnEncoder(d_model=16, **request.param)
        self.source = image_source(3, request.param["source_size"], request.param["image_size"])


def test_it_is_small_and_its_cells_are_as_large_as_its_strides() -> None:
    encoder = SmallCnnEncoder(3)
    assert encoder.grid == (8, 8)
    assert 0.5e6 < sum(parameter.numel() for parameter in encoder.parameters()) < 1e6
    assert SmallCnnEncoder(3, image_size=224, strides=(4, 2, 2, 2)).grid == (7, 7)
    assert not encoder.cacheable
    assert encoder.portable_options() == {}


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 8])
def test_no_pixel_is_left_out(stride: int) -> None:
    torch.manual_seed(0)
    encoder = SmallCnnEncoder(1, 8, image_size=16, channels=(16,), strides=(stride,), depth=1)
    source = image_source(1, 1, 16)
    pixels = source.values.requires_grad_()
    encoder.extract(source).values.square().sum().backward()  # type: ignore[no-untyped-call]
    assert pixels.grad is not None
    assert pixels.grad.ne(0).all()


@pytest.mark.parametrize(("image_size", "strides"), [(64, (2, 2, 2, 1)), (224, (4, 2, 2, 2)), (32, (2, 2, 2, 2))])
def test_bfloat16_convolutions_give_right_numbers_at_the_sizes_in_use(image_size: int, strides: Any) -> None:
    torch.manual_seed(0)
    encoder = SmallCnnEncoder(3, image_size=image_size, strides=strides).train()
    source = image_source(2, 3, image_size)
    expected = encoder.extract(source).values
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = encoder.extract(source).values
    assert (found - expected).square().mean() < 1e-3 * expected.square().mean()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"image_size": 16, "strides": (2, 2, 2, 2)}, "image_size 16 leaves a grid of 1 x 1.*larger"),
        ({"channels": (32, 64)}, r"one entry a stage, got \[32, 64\] and \[2, 2, 2, 1\]"),
        ({"channels": (32, 64, 100, 128)}, "multiples of 16.*100"),
        ({"depth": 0}, "at least 1.*0"),
        ({"projection": ProjectionOptions(num_layers=1, num_heads=3)}, "num_heads"),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        SmallCnnEncoder(3, **options)

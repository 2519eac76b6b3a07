from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from core.errors import ConfigError
from core.layers.subsampling import ConvSubsampling, subsampled


def test_lengths_are_those_that_convolutions_leave() -> None:
    layer = ConvSubsampling(11, 4, channels=2)
    lengths = torch.arange(7, 60)
    expected = [layer(torch.zeros(1, length, 11)).size(1) for length in lengths.tolist()]
    assert layer.output_lengths(lengths).tolist() == expected
    assert expected[0] == 1
    assert layer.output_lengths(torch.arange(7)).tolist() == [0] * 7
    assert subsampled(80) == ((80 - 1) // 2 - 1) // 2  # as in ESPnet's Conv2dSubsampling


@torch.no_grad()
def test_it_is_two_convolutions_and_a_projection() -> None:
    layer = ConvSubsampling(11, 5, channels=3)
    for parameter in layer.parameters():
        parameter.normal_()
    frames = torch.randn(2, 18, 11)
    # By windows and matrix products: (B, S', F', C).
    first = torch.einsum("bstij,cij->bstc", frames.unfold(1, 3, 2).unfold(2, 3, 2), layer.first.weight[:, 0])
    assert layer.first.bias is not None
    assert layer.second.bias is not None
    first = (first + layer.first.bias).relu()
    second = torch.einsum("bstdij,cdij->bstc", first.unfold(1, 3, 2).unfold(2, 3, 2), layer.second.weight)
    second = (second + layer.second.bias).relu()
    torch.testing.assert_close(layer(frames), layer.projection(second.flatten(2)), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_state_reads_the_seven_frames_that_begin_at_four_times_its_place() -> None:
    layer = ConvSubsampling(11, 16)
    frames = torch.randn(1, 27, 11)
    states = layer(frames)
    for frame in range(27):
        changed = frames.clone()
        changed[0, frame] += 10.0
        moved = (layer(changed) - states).abs().amax(2)[0] > 1e-4
        seen = [4 * state <= frame <= 4 * state + 6 for state in range(states.size(1))]
        assert moved.tolist() == seen


@pytest.mark.parametrize("features", [11, 13, 80])
@torch.no_grad()
def test_half_precision_comes_near_full_precision(features: int) -> None:
    """Not so with fewer features, where a kernel of oneDNN is wrong."""
    layer = ConvSubsampling(features, 8, channels=16)
    frames = torch.randn(4, 63, features)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = layer(frames)
    torch.testing.assert_close(states.float(), layer(frames), atol=0.1, rtol=0)


@pytest.mark.parametrize("channels", [16, 128])
@torch.no_grad()
def test_features_of_variance_one_give_states_of_variance_one(channels: int) -> None:
    states = ConvSubsampling(40, 128, channels)(torch.randn(2, 100, 40))
    assert F.mse_loss(states, torch.zeros_like(states)).item() == pytest.approx(1.0, rel=0.4)


@pytest.mark.parametrize(("size", "channels", "named"), [(10, 4, "at least 11.* 10"), (11, 0, "channels.* 0")])
def test_what_cannot_work_is_refused(size: int, channels: int, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        ConvSubsampling(size, 8, channels)

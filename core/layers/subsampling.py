"""Convolutions that bring frames of sound to the pace of a Transformer.

Letters: B batch, S source length in frames, F features a frame, C channels, D model width.
"""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import ConfigError

Size = TypeVar("Size", int, Tensor)

KERNEL, STRIDE = 3, 2
# The shortest source of which two convolutions leave something.
LEAST_FRAMES = 7
# As many features as leave two columns: where a convolution in bfloat16 leaves one column of several rows, oneDNN's
# kernels for AMX (torch 2.14.1) read memory that isn't theirs, and the result is anything.
LEAST_FEATURES = 11


class ConvSubsampling(nn.Module):
    """Two convolutions over time and frequency, and a projection (Dong et al. 2018, section 3.1).

    Kernels of 3 x 3 at strides of 2, without padding and each followed by a ReLU, as ESPnet's Conv2dSubsampling: S
    frames become ((S - 1) // 2 - 1) // 2 states, at least 7 frames are needed, and up to three at the end aren't read.
    So a state within an example's length reads frames of the example alone, and nothing need be masked between the
    convolutions. The weights begin so that features of variance 1 give states of variance 1 (He et al. 2015, equation
    10), however many channels there are.

    Args:
        source_size: features a frame F.
        d_model: width D of the states.
        channels: C of both convolutions. The second one costs C^2 and runs at half the pace of the frames in time and
            in frequency: at C = D it is as dear as all layers of a small Transformer above it.

    Raises:
        ConfigError: fewer than 11 features, no channel.
    """

    subsampling = STRIDE**2
    least_frames = LEAST_FRAMES

    def __init__(self, source_size: int, d_model: int, channels: int = 64) -> None:
        super().__init__()
        if source_size < LEAST_FEATURES:
            raise ConfigError(
                f"two convolutions over time and frequency need at least {LEAST_FEATURES} features a frame, "
                f"got {source_size}: give the model more of them, or an encoder without convolutions"
            )
        if channels < 1:
            raise ConfigError(f"channels must be at least 1, got {channels}")
        self.first = nn.Conv2d(1, channels, KERNEL, STRIDE)
        self.second = nn.Conv2d(channels, channels, KERNEL, STRIDE)
        self.projection = nn.Linear(channels * subsampled(source_size), d_model)
        for convolution in (self.first, self.second):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        nn.init.kaiming_normal_(self.projection.weight, nonlinearity="linear")
        for bias in (self.first.bias, self.second.bias, self.projection.bias):
            assert bias is not None
            nn.init.zeros_(bias)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Lengths in frames (B,) to lengths in states (B,)."""
        return subsampled(lengths).clamp(min=0)

    def forward(self, frames: Tensor) -> Tensor:
        """Subsamples frames (B, S, F): states (B, S', D). What comes of padding is the caller's to mask."""
        # Channels last: about twice as fast on the CPU, and the projection reads the result as it lies. The format is
        # told by strides, because `contiguous` takes a tensor of one channel for one that has any format already.
        x = frames.unsqueeze(3).permute(0, 3, 1, 2)  # (B, 1, S, F)
        x = F.relu(self.first(x), inplace=True)
        x = F.relu(self.second(x), inplace=True)  # (B, C, S', F')
        states: Tensor = self.projection(x.permute(0, 2, 3, 1).flatten(2))
        return states


def subsampled(size: Size) -> Size:
    """What two convolutions leave of a size."""
    for _ in range(2):
        size = (size - KERNEL) // STRIDE + 1
    return size

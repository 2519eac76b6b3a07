"""A small convolutional encoder of images that is trained from scratch.

Letters: B batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from core.encoders.image import ImageEncoder
from core.errors import ConfigError
from core.layers.grid import ProjectionOptions

GROUP = 16  # channels that a norm takes together


class SmallCnnEncoder(ImageEncoder):
    """Stages of convolutions with group norms (Wu & He 2018): an image's states depend on no other image.

    Each stage begins with a convolution that changes the size, and goes on with residual ones of 3 x 3.

    Args:
        source_size: channels C of the images.
        d_model: width D of the states.
        image_size: height and width of the images, in pixels.
        channels: of each stage, multiples of 16.
        strides: of each stage; their product is the side of a cell in pixels. Images of 64 x 64 give 8 x 8 cells; take
            [4, 2, 2, 2] for those of 224 x 224 and 7 x 7 cells.
        depth: convolutions in a stage.
        projection: what stands between the last stage and the decoder.

    Raises:
        ConfigError: stages that can't be built, or images that are too small for them.
    """

    def __init__(
        self,
        source_size: int,
        d_model: int = 256,
        image_size: int = 64,
        channels: Sequence[int] = (32, 64, 128, 192),
        strides: Sequence[int] = (2, 2, 2, 1),
        depth: int = 2,
        projection: ProjectionOptions = ProjectionOptions(),  # noqa: B008 (frozen)
    ) -> None:
        check_stages(channels, strides, depth)
        sizes = [source_size, *channels]
        stages = [
            nn.Sequential(Stage(before, after, stride), *(Residual(after) for _ in range(depth - 1)))
            for before, after, stride in zip(sizes, channels, strides, strict=False)
        ]
        half = (0.5,) * source_size
        super().__init__(source_size, nn.Sequential(*stages), image_size, d_model, projection, (half, half))


class Stage(nn.Sequential):
    """A convolution with a stride, its norm and a ReLU: (B, C, H, W) to (B, C', H / stride, W / stride)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        # A kernel that reaches over its neighbours' cells, and leaves no pixel out.
        kernel = 3 if stride < 3 else stride + 2
        super().__init__(convolution(before, after, kernel, stride), norm(after), nn.ReLU(inplace=True))


class Residual(nn.Module):
    """Adds a convolution of the normed input to it: (B, C, H, W) to (B, C, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(convolution(width, width, 3, 1), norm(width), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """Goes around the convolution."""
        output: Tensor = x + self.layers(x)
        return output


def convolution(before: int, after: int, kernel: int, stride: int) -> nn.Conv2d:
    """Makes a convolution that keeps the size but for its stride; it begins by He's rule (He et al. 2015)."""
    layer = nn.Conv2d(before, after, kernel, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer


def norm(width: int) -> nn.GroupNorm:
    """Makes a norm over an image's cells and groups of its channels."""
    return nn.GroupNorm(width // GROUP, width)


def check_stages(channels: Sequence[int], strides: Sequence[int], depth: int) -> None:
    """Raises ConfigError for stages that can't be built."""
    if not channels or len(channels) != len(strides):
        raise ConfigError(
            f"model.encoder.channels and model.encoder.strides have one entry a stage, got {list(channels)} and "
            f"{list(strides)}"
        )
    if any(width < GROUP or width % GROUP for width in channels):
        raise ConfigError(f"model.encoder.channels must be multiples of {GROUP}, got {list(channels)}")
    if min(strides) < 1 or depth < 1:
        raise ConfigError(f"model.encoder.strides and depth must be at least 1, got {list(strides)} and {depth}")

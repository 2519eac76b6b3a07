"""EfficientNet-Lite0: EfficientNet-B0 without squeeze and excitation, with ReLU6 (Tan & Le 2019; Google's tpu
repository, efficientnet/lite).

Letters: B batch, I input and O output channels, H height, W width.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

# Of each stage: blocks, kernel, stride of its first block, expansion, output channels.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, FEATURES = 32, 1280


class ConvNorm(nn.Sequential):
    """A convolution padded as TensorFlow's "SAME", a batch norm, and a ReLU6 where wanted."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, active: bool = True
    ) -> None:
        super().__init__(
            SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01),
            *([nn.ReLU6(inplace=True)] if active else []),
        )


class SameConv2d(nn.Conv2d):
    """A convolution that makes ceil(size / stride) of a size; what padding is odd stands at the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """Convolves (B, I, H, W): (B, O, H', W')."""
        height, width = (self.padding_of(size, axis) for axis, size in enumerate(x.shape[2:]))
        if height % 2 == 0 and width % 2 == 0:
            padding = (height // 2, width // 2)
            return F.conv2d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
        x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)

    def padding_of(self, size: int, axis: int) -> int:
        """How many rows or columns are added on both sides together."""
        stride = self.stride[axis]
        return max((math.ceil(size / stride) - 1) * stride + self.kernel_size[axis] - size, 0)


class MobileBlock(nn.Module):
    """An inverted bottleneck: expansion, a convolution by channel, projection (Sandler et al. 2018, section 3.4)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.adds = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            *([ConvNorm(inputs, width, 1)] if expansion > 1 else []),
            ConvNorm(width, width, kernel, stride, groups=width),
            ConvNorm(width, outputs, 1, active=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, I, H, W) to (B, O, H', W')."""
        output: Tensor = self.layers(x)
        return output + x if self.adds else output


class EfficientNetLite0(nn.Sequential):
    """Maps images (B, 3, H, W) to features (B, 1280, H / 32, W / 32), before the pooling of the classifier.

    Its parts stand in the order of the published weights. Weights begin by He's rule over the outputs, as there.
    """

    def __init__(self) -> None:
        layers: list[nn.Module] = [ConvNorm(3, STEM, 3, 2)]
        width = STEM
        for blocks, kernel, stride, expansion, outputs in STAGES:
            for number in range(blocks):
                layers.append(MobileBlock(width, outputs, kernel, 1 if number else stride, expansion))
                width = outputs
        super().__init__(*layers, ConvNorm(width, FEATURES, 1))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

"""A layer of the Conformer: self-attention for what is far, a convolution for what is near (Gulati et al. 2020).

Letters: B batch, S length, D model width, K width of the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import ConfigError
from core.layers.batch_norm import MaskedBatchNorm
from core.layers.identity import begin_as_identity
from core.layers.relative import FrameLayerOptions

ConvNorm = Literal["layer", "batch"]


@dataclass(frozen=True)
class ConformerOptions(FrameLayerOptions):
    """What all layers of a Conformer share; see `core.encoders.conformer.ConformerEncoder` for the meaning.

    Raises:
        ConfigError: an even kernel, or an unknown norm of the convolution.
    """

    kernel_size: int
    conv_norm: ConvNorm

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ConfigError(
                f"kernel_size must be odd, so that a frame stands in the middle of what it sees, got {self.kernel_size}"
            )
        if self.conv_norm not in ("layer", "batch"):
            raise ConfigError(f"conv_norm must be layer or batch, got {self.conv_norm!r}")

    def convolution(self) -> ConvolutionModule:
        """Makes a layer's convolution."""
        return ConvolutionModule(self.d_model, self.kernel_size, self.conv_norm)


class ConformerLayer(nn.Module):
    """Half a feed-forward step, self-attention, convolution, half a feed-forward step (section 2.4, equation 1).

    Its branches begin at zero (`core.layers.identity`): a fresh layer is a layer norm.
    """

    def __init__(self, options: ConformerOptions) -> None:
        super().__init__()
        self.first = options.feed_forward()
        self.first_residual = options.residual()
        self.attention = options.self_attention()
        self.attention_residual = options.residual()
        self.convolution = options.convolution()
        self.convolution_residual = options.residual()
        self.second = options.feed_forward()
        self.second_residual = options.residual()
        self.norm = nn.LayerNorm(options.d_model)
        begin_as_identity(self.first.outer, self.attention.output, self.convolution.outer, self.second.outer)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Maps x (B, S, D) to (B, S, D); the mask is True where a state belongs to its example: (B, 1, 1, S)."""
        present = mask[:, 0, 0].unsqueeze(2)  # (B, S, 1)
        x = self.first_residual(x, lambda normed: 0.5 * self.first(normed))
        x = self.attention_residual(x, lambda normed: self.attention(normed, mask))
        x = self.convolution_residual(x, lambda normed: self.convolution(normed, present))
        x = self.second_residual(x, lambda normed: 0.5 * self.second(normed))
        output: Tensor = self.norm(x)
        return output


class ConvolutionModule(nn.Module):
    """A gated map of each position, a depthwise convolution over time, and another map (section 2.2, figure 2).

    Args:
        d_model: width D.
        kernel_size: K, an odd number of states.
        norm: after the depthwise convolution, over the features of each state ("layer") or, as in the paper, over all
            states of a batch ("batch").
    """

    def __init__(self, d_model: int, kernel_size: int, norm: ConvNorm = "layer") -> None:
        super().__init__()
        self.inner = nn.Linear(d_model, 2 * d_model)
        self.depthwise = DepthwiseConvolution(d_model, kernel_size)
        self.norm = MaskedBatchNorm(d_model) if norm == "batch" else nn.LayerNorm(d_model)
        self.outer = nn.Linear(d_model, d_model)
        for linear in (self.inner, self.outer):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Maps x (B, S, D) to (B, S, D); the mask (B, S, 1) is True where a state belongs to its example."""
        gated = F.glu(self.inner(x), dim=2).masked_fill(~mask, 0.0)
        mixed = self.depthwise(gated)
        normed = self.norm(mixed, mask) if isinstance(self.norm, MaskedBatchNorm) else self.norm(mixed)
        output: Tensor = self.outer(F.silu(normed))
        return output


class DepthwiseConvolution(nn.Conv1d):
    """A convolution over time of each feature by itself: (B, S, D) to (B, S, D), zeros around.

    Computed as one over an image of height one with channels last, which x already is: on the CPU (B = 16, S = 150,
    D = 144, K = 15, one thread; forward and backward in ms) 0.5 + 4.2 in float32 and 0.4 + 3.6 in bfloat16, where
    `conv1d` takes 8.1 + 10.4 and 3.4 + 10.4, and adding up shifted copies takes more than both.
    """

    def __init__(self, d_model: int, kernel_size: int) -> None:
        super().__init__(d_model, d_model, kernel_size, padding=kernel_size // 2, groups=d_model)

    def forward(self, x: Tensor) -> Tensor:
        """Convolves x (B, S, D)."""
        image = x.transpose(1, 2).unsqueeze(2)  # (B, D, 1, S)
        padding = (0, self.kernel_size[0] // 2)
        output = F.conv2d(image, self.weight.unsqueeze(2), self.bias, padding=padding, groups=self.groups)
        return output.squeeze(2).transpose(1, 2)

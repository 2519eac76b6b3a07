"""A linear map whose products of float32 matrices take the faster of the two libraries that torch has on the CPU.

Letters: N rows, I and O the widths of input and output.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Below this many multiplications (N * I * O) the microseconds of oneDNN's call are more than what it gains.
LEAST_PRODUCT = 1 << 20
# The operator is one that torch.compile calls, not one that torch promises to keep.
HAS_ONEDNN: bool = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]


class Linear(nn.Linear):
    """As `nn.Linear`, with the same weights and the same result to rounding.

    Torch gives float32 products to MKL, which on processors other than Intel's computes with half-width vectors.
    oneDNN, the other library in torch, uses the whole width everywhere. On an AMD EPYC 9005 (one core, AVX-512):

        rows, widths    MKL      oneDNN
        320, 128-8000   6.8 ms   2.7 ms
        320, 128-384    0.28     0.13
        64, 128-128     0.021    0.020
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (..., I) to (..., O)."""
        if not use_onednn(x, self.out_features):
            return F.linear(x, self.weight, self.bias)
        # What torch.compile calls for a frozen linear map; the weights need no other layout.
        mapped: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return mapped


def use_onednn(x: Tensor, width: int) -> bool:
    """Tells whether oneDNN is there, can map x (..., I) to that width, and pays."""
    return (
        not torch.compiler.is_compiling()  # first: a graph would hold for one side of a comparison of sizes only
        and x.numel() * width >= LEAST_PRODUCT
        and x.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and HAS_ONEDNN
    )

"""The part of a Transformer's layer that treats each position by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import ConfigError
from core.layers.dropout import Dropout
from core.layers.linear import Linear

Activation = Literal["relu", "gelu", "silu", "swiglu"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu, "swiglu": F.silu}


class FeedForward(nn.Module):
    """Two linear maps with an activation between them (Vaswani et al. 2017, section 3.3).

    Args:
        d_model: width of input and output D.
        ffn_size: width between them.
        activation: relu, gelu, silu (Swish), or swiglu: silu(xW) * xV (Shazeer 2020, equation 6), which has a third
            matrix of the same size.
        dropout: after the activation.

    Raises:
        ConfigError: an unknown activation.
    """

    def __init__(self, d_model: int, ffn_size: int, activation: Activation = "relu", dropout: float = 0.0) -> None:
        super().__init__()
        if activation not in ACTIVATIONS:
            raise ConfigError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        self.activation = ACTIVATIONS[activation]
        self.gated = activation == "swiglu"
        self.inner = Linear(d_model, 2 * ffn_size if self.gated else ffn_size)
        self.outer = Linear(ffn_size, d_model)
        self.dropout = Dropout(dropout)
        for linear in (self.inner, self.outer):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Maps x (..., D) to (..., D)."""
        inner = self.inner(x)
        if self.gated:
            gate, inner = inner.chunk(2, dim=-1)
            inner = self.activation(gate) * inner
        else:
            inner = self.activation(inner)
        output: Tensor = self.outer(self.dropout(inner))
        return output

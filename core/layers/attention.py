"""Multi-head scaled dot-product attention (Vaswani et al. 2017, section 3.2).

Letters: B batch, T queries, S keys, D model width, M memory width, H heads, E = D / H width of a head.
Masks are boolean, from `core.masks`, True where attention may look, and broadcast to (B, H, T, S).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import ConfigError
from core.layers.dropout import Dropout
from core.layers.linear import Linear
from core.layers.positions import Rotary


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None, bias: Tensor | None = None) -> Tensor:
    """Weighs keys (B, H, S, E) for each query (B, H, T, E): (B, H, T, S), zero where a query may see nothing.

    A bias (B, H, T, S) is added to the products of queries and keys. The softmax is taken in float32: better, and on
    the CPU six times faster than in bfloat16.
    """
    scale: float = query.size(-1) ** -0.5
    scores = (query @ key.transpose(-2, -1)).float()
    if bias is not None:
        scores = scores + bias
    if mask is None:
        return (scores * scale).softmax(-1)
    barrier = torch.zeros(mask.shape, device=mask.device).masked_fill_(~mask, torch.finfo(torch.float32).min)
    weights = torch.add(barrier, scores, alpha=scale).softmax(-1)
    sighted = mask.any(-1, keepdim=True)
    # A compiled graph would end at a branch that depends on numbers.
    return weights if not torch.compiler.is_compiling() and sighted.all() else weights * sighted


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: Dropout) -> Tensor:
    """Averages values (B, H, S, E) by the weight of their keys for each query (B, H, T, E): (B, H, T, E)."""
    probability = dropout.p if dropout.training else 0.0
    if use_fused(query, key, probability):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=probability)
    weights: Tensor = dropout(attention_weights(query, key, mask).to(value.dtype))
    return weights @ value


def use_fused(query: Tensor, key: Tensor, dropout: float) -> bool:
    """Tells whether torch's fused attention is the faster one here.

    Measured on the CPU (one core with AMX, 4,000 tokens, heads of 32; forward and backward in ms, fused against plain).
    In float32 the fused one is the faster at any length (16: 6.4 against 9.3; 256: 19 against 37), and so it is
    without gradient. In bfloat16 its backward is slow on short sequences (16: 60 against 4.4; 128: 39 against 17; 256:
    30 against 30; 512: 43 against 105). And it has no dropout of its own there.
    """
    if query.device.type != "cpu":
        return True
    if dropout:
        return False
    return query.dtype.itemsize > 2 or not torch.is_grad_enabled() or key.size(-2) > 256


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, T, H * E) to (B, H, T, E)."""
    return x.view(x.size(0), x.size(1), num_heads, -1).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, T, E) to (B, T, H * E)."""
    return x.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Lets each position of a sequence look at the others.

    Queries, keys and values come from one matrix product.

    Args:
        d_model: width D.
        num_heads: H, a divisor of D.
        dropout: of the weights.
        rotary: turns queries and keys by their positions; None where positions are added to the embeddings.

    Raises:
        ConfigError: num_heads doesn't divide d_model.
    """

    def __init__(self, d_model: int, num_heads: int, dropout: float = 0.0, rotary: bool = False) -> None:
        super().__init__()
        check_heads(d_model, num_heads)
        self.num_heads = num_heads
        self.projection = Linear(d_model, 3 * d_model)
        self.output = Linear(d_model, d_model)
        self.dropout = Dropout(dropout)
        self.rotary = Rotary(d_model // num_heads) if rotary else None
        init_projections(self.projection, 3)
        init_projections(self.output, 1)

    def project(self, x: Tensor, begin: int = 0, end: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Makes queries, keys and values (B, H, T, E) of x (B, T, D), at the positions from `begin` to `end`.

        There are T of them, or one that all of x shares; without `end` there are T.
        """
        size = x.size(0), x.size(1), 3, self.num_heads, x.size(2) // self.num_heads
        query, key, value = self.projection(x).view(size).permute(2, 0, 3, 1, 4).unbind(0)
        if self.rotary is not None:
            end = begin + x.size(1) if end is None else end
            query, key = self.rotary(query, begin, end), self.rotary(key, begin, end)
        return query, key, value

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Attends from x (B, T, D) to itself: (B, T, D)."""
        query, key, value = self.project(x)
        return self.attend(query, key, value, mask)

    def attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attends from queries (B, H, T, E) to keys and values (B, H, S, E): (B, T, D)."""
        output: Tensor = self.output(merge_heads(attend(query, key, value, mask, self.dropout)))
        return output


class CrossAttention(nn.Module):
    """Lets each position of a target look at a memory.

    Keys and values come from one matrix product, which the caller keeps as long as the memory is the same.

    Args:
        d_model: width D of the target and of the output.
        memory_size: width M of the memory.
        num_heads: H, a divisor of D.
        dropout: of the weights.

    Raises:
        ConfigError: num_heads doesn't divide d_model.
    """

    def __init__(self, d_model: int, memory_size: int, num_heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        check_heads(d_model, num_heads)
        self.num_heads = num_heads
        self.query = Linear(d_model, d_model)
        self.projection = Linear(memory_size, 2 * d_model)
        self.output = Linear(d_model, d_model)
        self.dropout = Dropout(dropout)
        init_projections(self.query, 1)
        init_projections(self.projection, 2)
        init_projections(self.output, 1)

    def project(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Makes keys and values (B, H, S, E) of a memory (B, S, M)."""
        size = memory.size(0), memory.size(1), 2, self.num_heads, self.query.out_features // self.num_heads
        key, value = self.projection(memory).view(size).permute(2, 0, 3, 1, 4).unbind(0)
        return key, value

    def forward(self, x: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attends from x (B, T, D) to a projected memory (B, H, S, E): (B, T, D)."""
        query = split_heads(self.query(x), self.num_heads)
        output: Tensor = self.output(merge_heads(attend(query, key, value, mask, self.dropout)))
        return output

    def weights(self, x: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        """Tells where `forward` looks: x (B, T, D) and keys (B, H, S, E) to (B, H, T, S)."""
        return attention_weights(split_heads(self.query(x), self.num_heads), key, mask)


def check_heads(d_model: int, num_heads: int) -> None:
    """Raises ConfigError where num_heads doesn't divide d_model."""
    if num_heads < 1 or d_model % num_heads:
        raise ConfigError(
            f"num_heads must divide d_model, got num_heads={num_heads} and d_model={d_model}: "
            f"each head takes an equal share of the width"
        )


def init_projections(linear: nn.Linear, parts: int) -> None:
    """Initialises a matrix that holds several projections: each part by itself as Xavier's, biases zero.

    Glorot & Bengio 2010, equation 16. Projections that share their input get the gain 1/sqrt(2) of fairseq, where
    post-norm models were found to converge better with it.
    """
    gain = 1.0 if parts == 1 else 2**-0.5
    for block in linear.weight.data.chunk(parts):
        nn.init.xavier_uniform_(block, gain=gain)
    nn.init.zeros_(linear.bias)

"""How a Transformer, which sees a set of vectors, learns their order.

Letters: B batch, T length, D model width, H heads, E width of a head.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from core.errors import ConfigError

Positions = Literal["sinusoidal", "learned", "rotary", "none"]


class SinusoidalPositions(nn.Module):
    """Adds sin(t / 10000^(2i/D)) to dimension 2i and its cosine to 2i + 1 (Vaswani et al. 2017, section 3.5).

    There is no longest length: the table grows with what it is asked for.

    Raises:
        ConfigError: an odd width.
    """

    def __init__(self, d_model: int, initial_size: int = 256) -> None:
        super().__init__()
        if d_model % 2:
            raise ConfigError(f"sinusoidal positions need an even d_model (sine and cosine share it), got {d_model}")
        self.sinusoids = SinusoidTable(d_model, initial_size)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """Adds the positions from `offset` on to x (B, T, D)."""
        return x + self.sinusoids.rows(offset, offset + x.size(1), x)


class SinusoidTable:
    """Sinusoidal positions, as many as have been asked for.

    It isn't a module's buffer, because its size is no part of a model: weights that are averaged, and those of several
    ranks, go together whatever lengths each has seen.

    Args:
        d_model: width D of a position, an even number.
        initial_size: how many there are at first.
    """

    def __init__(self, d_model: int, initial_size: int) -> None:
        self.d_model = d_model
        self._table = sinusoids(initial_size, d_model)

    def rows(self, begin: int, end: int, like: Tensor) -> Tensor:
        """The positions from `begin` to `end`, (end - begin, D), on the device and in the dtype of a tensor."""
        if end > self._table.size(0) or self._table.device != like.device:
            # A table that is made while a model is tested is used in training too: it mustn't belong to inference.
            with torch.inference_mode(False):
                size = self._table.size(0) if end <= self._table.size(0) else 2 * end
                self._table = sinusoids(size, self.d_model).to(like.device)
        return self._table[begin:end].to(like.dtype)


def sinusoids(size: int, d_model: int) -> Tensor:
    """The table of sinusoidal positions: (size, d_model), computed in float64."""
    times = torch.arange(size, dtype=torch.float64).unsqueeze(1)
    rates = torch.exp(torch.arange(0, d_model, 2, dtype=torch.float64) * (-math.log(10000.0) / d_model))
    return torch.stack([torch.sin(times * rates), torch.cos(times * rates)], dim=2).flatten(1).float()


class LearnedPositions(nn.Module):
    """Adds a learned vector to each position (Gehring et al. 2017, section 3.1).

    Args:
        d_model: the width D.
        max_positions: the number of positions that have a vector.
        option: the name of that option in the configuration, for the message of the error.
    """

    def __init__(self, d_model: int, max_positions: int, option: str = "max_positions") -> None:
        super().__init__()
        self.option = option
        self.weight = nn.Parameter(torch.empty(max_positions, d_model))
        nn.init.normal_(self.weight, std=d_model**-0.5)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """Adds the positions from `offset` on to x (B, T, D).

        Raises:
            ConfigError: a position that has no vector.
        """
        end = offset + x.size(1)
        if end > self.weight.size(0):
            raise ConfigError(
                f"a sequence of {end} tokens needs more than {self.option}={self.weight.size(0)} learned positions: "
                f"raise {self.option}, shorten the text, or take positions that have no end (sinusoidal, rotary)"
            )
        return x + self.weight[offset:end].to(x.dtype)


class NoPositions(nn.Module):
    """Adds nothing: where attention itself knows the order (rotary), or where nothing shall."""

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """Returns x (B, T, D)."""
        return x


class Rotary(nn.Module):
    """Turns pairs of a head's dimensions by an angle that grows with the position (Su et al. 2021, equation 34).

    Dimensions 2i and 2i + 1 of position t turn by t / 10000^(2i/E): the product of a turned query and a turned key
    depends on their distance alone.

    Raises:
        ConfigError: an odd width of a head.
    """

    def __init__(self, head_size: int, initial_size: int = 256) -> None:
        super().__init__()
        if head_size % 2:
            raise ConfigError(
                f"rotary positions turn pairs of dimensions: a head's width must be even, got {head_size}"
            )
        self.sinusoids = SinusoidTable(head_size, initial_size)

    def forward(self, x: Tensor, begin: int, end: int) -> Tensor:
        """Turns queries or keys x (..., T, E) that stand at the positions from `begin` to `end`: T, or one for all."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        table = self.sinusoids.rows(begin, end, wide)
        sine, cosine = table[:, 0::2], table[:, 1::2]  # (T or 1, E/2)
        if torch.compiler.is_compiling():  # inductor has no complex numbers, and needs none to be fast
            even, odd = wide[..., 0::2], wide[..., 1::2]
            turned = torch.stack([even * cosine - odd * sine, odd * cosine + even * sine], dim=-1)
        else:
            turned = torch.view_as_real(_as_complex(wide) * torch.complex(cosine, sine))
        return turned.flatten(-2).to(x.dtype)


def _as_complex(x: Tensor) -> Tensor:
    """Takes pairs of neighbours (..., E) for complex numbers (..., E/2): their product is what turns fastest."""
    pairs = x.view(*x.shape[:-1], x.size(-1) // 2, 2)
    return torch.view_as_complex(pairs if pairs.stride(-1) == 1 else pairs.contiguous())


def make_positions(kind: Positions, d_model: int, max_positions: int, option: str) -> nn.Module:
    """Makes what is added to embeddings; rotary positions are the attention's matter and add nothing.

    Raises:
        ConfigError: an unknown kind, or a width that doesn't fit.
    """
    if kind == "sinusoidal":
        return SinusoidalPositions(d_model)
    if kind == "learned":
        return LearnedPositions(d_model, max_positions, option)
    if kind in ("rotary", "none"):
        return NoPositions()
    raise ConfigError(f"positions must be sinusoidal, learned, rotary or none, got {kind!r}")

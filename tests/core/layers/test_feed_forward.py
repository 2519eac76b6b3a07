from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch.nn import functional as F

from core.errors import ConfigError
from core.layers.feed_forward import Activation, FeedForward


def test_relu_is_the_formula_of_the_paper() -> None:
    torch.manual_seed(0)
    module, x = FeedForward(4, 6), torch.randn(3, 4)
    expected = torch.clamp(x @ module.inner.weight.T + module.inner.bias, min=0) @ module.outer.weight.T
    torch.testing.assert_close(module(x), expected + module.outer.bias)


def test_swiglu_is_the_formula_of_the_paper() -> None:
    torch.manual_seed(0)
    module, x = FeedForward(4, 6, "swiglu"), torch.randn(3, 4)
    gate, linear = module.inner.weight[:6], module.inner.weight[6:]
    expected = (F.silu(x @ gate.T) * (x @ linear.T)) @ module.outer.weight.T
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("activation", get_args(Activation))
def test_dropout_stands_after_the_activation(activation: Activation) -> None:
    module = FeedForward(4, 6, activation, dropout=1.0)
    torch.testing.assert_close(module(torch.randn(5, 4)), module.outer.bias.expand(5, 4))


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ConfigError, match="tanh"):
        FeedForward(4, 6, "tanh")  # type: ignore[arg-type]

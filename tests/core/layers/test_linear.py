from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from core.layers import linear
from core.layers.linear import Linear, use_onednn


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 3, 6), (0, 6), (2, 0, 6)])
def test_both_libraries_give_the_formula(shape: tuple[int, ...], bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer, x = Linear(6, 4, bias=bias), torch.randn(shape)
    expected = torch.einsum("...i,oi->...o", x, layer.weight) + (layer.bias if bias else 0)
    for onednn in (False, True):
        monkeypatch.setattr(linear, "use_onednn", lambda x, width, chosen=onednn: chosen)
        with torch.inference_mode():
            torch.testing.assert_close(layer(x), expected)


def test_a_view_is_mapped_as_its_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer, x = Linear(6, 4), torch.randn(3, 6, 5).transpose(1, 2)
    monkeypatch.setattr(linear, "use_onednn", lambda x, width: True)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), F.linear(x.contiguous(), layer.weight, layer.bias))


def test_onednn_is_for_large_float32_products_without_gradient() -> None:
    x = torch.randn(1024, 32)
    assert not use_onednn(x, 32)
    with torch.inference_mode():
        assert use_onednn(x, 32) == linear.HAS_ONEDNN
        assert not use_onednn(x[:1000], 32)
        assert not use_onednn(x.bfloat16(), 32)
        with torch.autocast("cpu", torch.bfloat16):
            assert not use_onednn(x, 32)


def test_gradients_are_those_of_a_linear_map() -> None:
    torch.manual_seed(0)
    layer, x = Linear(32, 32), torch.randn(1024, 32)
    plain = torch.nn.Linear(32, 32)
    plain.load_state_dict(layer.state_dict())
    torch.autograd.backward((layer(x).square().sum(), plain(x).square().sum()))
    torch.testing.assert_close(layer.weight.grad, plain.weight.grad)

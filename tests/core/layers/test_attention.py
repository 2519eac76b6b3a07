from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import ConfigError
from core.layers import attention
from core.layers.attention import CrossAttention, SelfAttention, attend, attention_weights
from core.layers.dropout import Dropout
from core.masks import causal_mask, length_mask


def heads(*shape: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    batch, count, queries, keys, size = shape
    query = torch.randn(batch, count, queries, size, generator=generator)
    key = torch.randn(batch, count, keys, size, generator=generator)
    return query, key, torch.randn(batch, count, keys, size, generator=generator)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("masked", ["none", "lengths", "causal"])
def test_attend_is_the_formula(fused: bool, masked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "use_fused", lambda query, key, dropout: fused)
    query, key, value = heads(3, 2, 5, 5, 4)
    mask = {"none": None, "lengths": length_mask(torch.tensor([5, 2, 1]), 5)[:, None, None], "causal": causal_mask(5)}
    visible = mask[masked]
    scores = torch.einsum("bhte,bhse->bhts", query, key) / 2  # the root of the width 4
    if visible is not None:
        scores = torch.where(visible, scores, -torch.inf)
    expected = scores.exp() / scores.exp().sum(-1, keepdim=True) @ value
    torch.testing.assert_close(attend(query, key, value, visible, Dropout(0.0)), expected)


@pytest.mark.parametrize("fused", [False, True])
def test_who_may_see_nothing_gets_zero(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "use_fused", lambda query, key, dropout: fused)
    query, key, value = (part.requires_grad_() for part in heads(2, 2, 3, 4, 4))
    mask = length_mask(torch.tensor([0, 4]), 4)[:, None, None]
    output = attend(query, key, value, mask, Dropout(0.0))
    assert not output[0].any()
    assert output[1].all()
    for gradient in torch.autograd.grad(output.square().sum(), (query, key, value)):
        assert gradient.isfinite().all()
        assert not gradient[0].any()
    nothing = attend(query, key[:, :, :0], value[:, :, :0], mask[..., :0], Dropout(0.0))
    assert nothing.shape == query.shape
    assert not nothing.any()


def test_short_and_long_take_different_ways_and_agree() -> None:
    short, long = heads(1, 1, 16, 16, 4), heads(1, 1, 512, 512, 4)
    ways = [attention.use_fused(query.bfloat16(), key.bfloat16(), 0.0) for query, key, _ in (short, long)]
    assert ways == [False, True]
    with torch.no_grad():
        assert attention.use_fused(short[0].bfloat16(), short[1].bfloat16(), 0.0)
    for query, key, value in (short, long):
        expected = attention_weights(query, key, None) @ value
        parts = query.bfloat16(), key.bfloat16(), value.bfloat16()
        torch.testing.assert_close(attend(*parts, None, Dropout(0.0)).float(), expected, atol=0.03, rtol=0)


def test_weights_sum_to_one_within_the_mask() -> None:
    query, key, _ = heads(2, 2, 3, 4, 4)
    mask = length_mask(torch.tensor([4, 2]), 4)[:, None, None]
    weights = attention_weights(query, key, mask)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 2, 3))
    assert not weights[1, ..., 2:].any()


@pytest.mark.parametrize("fused", [False, True])
def test_dropout_of_the_weights_keeps_the_mean(fused: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "use_fused", lambda query, key, dropout: fused)
    torch.manual_seed(0)
    query, key, value = heads(1, 1, 2, 6, 4)
    many = query.expand(4000, 4, 2, 4), key.expand(4000, 4, 6, 4), value.expand(4000, 4, 6, 4)
    output = attend(*many, None, Dropout(0.5))
    assert output.std(0).min() > 0.1
    expected = attend(query, key, value, None, Dropout(0.5).eval())
    torch.testing.assert_close(output.mean((0, 1)), expected[0, 0], atol=0.05, rtol=0)


def multihead(module: SelfAttention | CrossAttention, size: int, memory_size: int) -> nn.MultiheadAttention:
    """torch's module with our weights."""
    other = nn.MultiheadAttention(size, module.num_heads, kdim=memory_size, vdim=memory_size, batch_first=True)
    fused = isinstance(module, SelfAttention)
    parts = [module.projection] if isinstance(module, SelfAttention) else [module.query, module.projection]
    weights = [weight for part in parts for weight in part.weight.chunk(part.weight.size(0) // size)]
    with torch.no_grad():
        if fused:
            assert other.in_proj_weight is not None
            other.in_proj_weight.copy_(torch.cat(weights))
        else:
            for name, weight in zip(("q", "k", "v"), weights, strict=True):
                getattr(other, f"{name}_proj_weight").copy_(weight)
        other.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        other.out_proj.load_state_dict(module.output.state_dict())
    return other


def randomise(module: nn.Module) -> None:
    """Biases too, which begin at zero."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)


def test_self_attention_equals_that_of_torch() -> None:
    module = SelfAttention(12, 3)
    randomise(module)
    x = torch.randn(4, 7, 12)
    expected, _ = multihead(module, 12, 12)(x, x, x, attn_mask=~causal_mask(7))
    torch.testing.assert_close(module(x, causal_mask(7)), expected)


def test_cross_attention_equals_that_of_torch() -> None:
    module = CrossAttention(12, 20, 3)
    randomise(module)
    x, memory, mask = torch.randn(2, 7, 12), torch.randn(2, 5, 20), length_mask(torch.tensor([5, 3]), 5)
    key, value = module.project(memory)
    other = multihead(module, 12, 20)
    expected, weights = other(x, memory, memory, key_padding_mask=~mask)
    torch.testing.assert_close(module(x, key, value, mask[:, None, None]), expected)
    torch.testing.assert_close(module.weights(x, key, mask[:, None, None]).mean(1), weights)


def test_rotary_attention_does_not_see_the_absolute_position() -> None:
    module = SelfAttention(12, 3, rotary=True)
    x = torch.randn(1, 4, 12)
    near, far = (attend(*module.project(x, offset), causal_mask(4), Dropout(0.0)) for offset in (0, 90))
    torch.testing.assert_close(near, far, atol=1e-5, rtol=1e-5)
    swapped = x[:, [1, 0, 2, 3]]
    assert not torch.allclose(module(x, None)[:, 3], module(swapped, None)[:, 3], atol=1e-4)


def test_each_projection_begins_as_xaviers() -> None:
    torch.manual_seed(0)
    bound = (6 / (128 + 128)) ** 0.5
    module = SelfAttention(128, 4)
    for block in module.projection.weight.chunk(3):
        assert block.abs().max().item() == pytest.approx(bound / 2**0.5, rel=1e-3)
    assert module.output.weight.abs().max().item() == pytest.approx(bound, rel=1e-3)
    assert not module.projection.bias.any()


@pytest.mark.parametrize("num_heads", [0, 5])
def test_heads_that_do_not_divide_the_width_are_refused(num_heads: int) -> None:
    with pytest.raises(ConfigError, match=f"num_heads={num_heads} and d_model=12"):
        SelfAttention(12, num_heads)
    with pytest.raises(ConfigError, match=f"num_heads={num_heads} and d_model=12"):
        CrossAttention(12, 12, num_heads)


def test_gradients_equal_those_of_the_fused_attention() -> None:
    query, key, value = (part.requires_grad_() for part in heads(2, 3, 6, 6, 4))
    mask = length_mask(torch.tensor([6, 4]), 6)[:, None, None]
    upstream = torch.randn(2, 3, 6, 4)
    ours = torch.autograd.grad(attend(query, key, value, mask, Dropout(0.0)), (query, key, value), upstream)
    fused = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    for gradient, expected in zip(ours, torch.autograd.grad(fused, (query, key, value), upstream), strict=True):
        torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-5)

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.layers.transformer import DecoderLayer, EncoderLayer, LayerOptions, Norm
from core.masks import causal_mask, length_mask

OPTIONS = LayerOptions(
    d_model=8,
    num_heads=2,
    ffn_size=12,
    dropout=0.0,
    attention_dropout=0.0,
    activation_dropout=0.0,
    activation="relu",
    norm="pre",
    rotary=False,
)


def copy_self_attention(layer: EncoderLayer | DecoderLayer, other: nn.MultiheadAttention) -> None:
    assert other.in_proj_weight is not None
    other.in_proj_weight.copy_(layer.attention.projection.weight)
    other.in_proj_bias.copy_(layer.attention.projection.bias)
    other.out_proj.load_state_dict(layer.attention.output.state_dict())


def randomise(module: nn.Module) -> None:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)


@pytest.mark.parametrize("norm", ["pre", "post"])
@torch.no_grad()
def test_encoder_layer_equals_that_of_torch(norm: Norm) -> None:
    layer = EncoderLayer(replace(OPTIONS, norm=norm))
    randomise(layer)
    other = nn.TransformerEncoderLayer(8, 2, 12, 0.0, batch_first=True, norm_first=norm == "pre")
    copy_self_attention(layer, other.self_attn)
    other.linear1.load_state_dict(layer.feed_forward.inner.state_dict())
    other.linear2.load_state_dict(layer.feed_forward.outer.state_dict())
    other.norm1.load_state_dict(layer.attention_residual.norm.state_dict())
    other.norm2.load_state_dict(layer.feed_forward_residual.norm.state_dict())
    x, mask = torch.randn(2, 5, 8), length_mask(torch.tensor([5, 3]), 5)
    expected: Tensor = other(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(layer(x, mask[:, None, None])[mask], expected[mask])


@pytest.mark.parametrize("norm", ["pre", "post"])
@torch.no_grad()
def test_decoder_layer_equals_that_of_torch(norm: Norm) -> None:
    layer = DecoderLayer(replace(OPTIONS, norm=norm), memory_size=8)
    randomise(layer)
    other = nn.TransformerDecoderLayer(8, 2, 12, 0.0, batch_first=True, norm_first=norm == "pre")
    copy_self_attention(layer, other.self_attn)
    cross = layer.cross_attention
    assert other.multihead_attn.in_proj_weight is not None
    other.multihead_attn.in_proj_weight.copy_(torch.cat([cross.query.weight, cross.projection.weight]))
    other.multihead_attn.in_proj_bias.copy_(torch.cat([cross.query.bias, cross.projection.bias]))
    other.multihead_attn.out_proj.load_state_dict(cross.output.state_dict())
    other.linear1.load_state_dict(layer.feed_forward.inner.state_dict())
    other.linear2.load_state_dict(layer.feed_forward.outer.state_dict())
    residuals = layer.attention_residual, layer.cross_residual, layer.feed_forward_residual
    for theirs, residual in zip((other.norm1, other.norm2, other.norm3), residuals, strict=True):
        theirs.load_state_dict(residual.norm.state_dict())
    x, memory, mask = torch.randn(2, 5, 8), torch.randn(2, 4, 8), length_mask(torch.tensor([4, 2]), 4)
    expected: Tensor = other(x, memory, tgt_mask=~causal_mask(5), memory_key_padding_mask=~mask)
    ours = layer(x, cross.project(memory), causal_mask(5), mask[:, None, None])
    torch.testing.assert_close(ours, expected)


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(ConfigError, match="middle"):
        replace(OPTIONS, norm="middle")  # type: ignore[arg-type]

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from torchaudio.models.conformer import ConformerLayer as ReferenceLayer

from core.errors import ConfigError
from core.layers.conformer import ConformerLayer, ConformerOptions, DepthwiseConvolution
from core.masks import length_mask

OPTIONS = ConformerOptions(
    d_model=8,
    num_heads=2,
    ffn_size=12,
    dropout=0.0,
    attention_dropout=0.0,
    activation_dropout=0.0,
    activation="silu",
    norm="pre",
    rotary=False,
    relative=False,
    kernel_size=5,
    conv_norm="batch",
)

# Ours, and what torchaudio calls the same.
NAMES = {
    "first.inner": "ffn1.sequential.1",
    "first.outer": "ffn1.sequential.4",
    "first_residual.norm": "ffn1.sequential.0",
    "attention.output": "self_attn.out_proj",
    "attention_residual.norm": "self_attn_layer_norm",
    "convolution_residual.norm": "conv_module.layer_norm",
    "convolution.inner": "conv_module.sequential.0",
    "convolution.depthwise": "conv_module.sequential.2",
    "convolution.norm": "conv_module.sequential.3",
    "convolution.outer": "conv_module.sequential.5",
    "second.inner": "ffn2.sequential.1",
    "second.outer": "ffn2.sequential.4",
    "second_residual.norm": "ffn2.sequential.0",
    "norm": "final_layer_norm",
}


def copied(layer: ConformerLayer) -> nn.Module:
    """The layer of torchaudio with the weights of ours."""
    other: nn.Module = ReferenceLayer(8, 12, 2, 5)
    weights = {
        "self_attn.in_proj_weight": layer.attention.projection.weight,
        "self_attn.in_proj_bias": layer.attention.projection.bias,
    }
    for ours, theirs in NAMES.items():
        weights.update({f"{theirs}.{name}": value for name, value in layer.get_submodule(ours).named_parameters()})
    shapes = other.state_dict()
    weights = {name: value.view(shapes[name].shape) for name, value in weights.items()}  # pointwise maps: kernel of 1
    missing, unexpected = other.load_state_dict(weights, strict=False)
    assert not unexpected
    assert {name.rsplit(".", 1)[1] for name in missing} == {"running_mean", "running_var"}
    return other


@pytest.mark.parametrize("training", [False, True])
@torch.no_grad()
def test_a_layer_equals_that_of_torchaudio(training: bool) -> None:
    layer = ConformerLayer(OPTIONS).train(training)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    other = copied(layer).train(training)
    x = torch.randn(3, 9, 8)
    expected = other(x.transpose(0, 1), None).transpose(0, 1)
    torch.testing.assert_close(layer(x, length_mask(torch.tensor([9, 9, 9]), 9)[:, None, None]), expected)


@torch.no_grad()
def test_the_depthwise_convolution_equals_that_of_torch() -> None:
    layer = DepthwiseConvolution(6, 5)
    x = torch.randn(2, 9, 6)
    expected = nn.functional.conv1d(x.mT, layer.weight, layer.bias, padding=2, groups=6).mT
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"kernel_size": 4}, "odd.* 4"), ({"kernel_size": -1}, "odd"), ({"conv_norm": "group"}, "layer or batch.*group")],
)
def test_what_cannot_work_is_refused(options: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        replace(OPTIONS, **options)  # type: ignore[arg-type]

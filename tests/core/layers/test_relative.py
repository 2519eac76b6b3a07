from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from core.errors import ConfigError
from core.layers.relative import RelativeSelfAttention, make_frame_positions
from core.masks import length_mask


def sinusoid(distance: int, d_model: int) -> Tensor:
    angles = [distance / 10000 ** (2 * pair / d_model) for pair in range(d_model // 2)]
    return torch.tensor([f(angle) for angle in angles for f in (math.sin, math.cos)])


def formula(layer: RelativeSelfAttention, x: Tensor) -> Tensor:
    """Dai et al. 2019, section 3.3, one pair of positions after another: x (S, D) to (S, D)."""
    size, width = x.shape
    head_size = width // layer.num_heads
    query, key, value = (layer.projection(x).view(size, 3, layer.num_heads, head_size)[:, part] for part in range(3))
    heads = []
    for head in range(layer.num_heads):
        scores = torch.empty(size, size)
        for i in range(size):
            for j in range(size):
                far = layer.distance(sinusoid(i - j, width)).view(layer.num_heads, head_size)[head]
                near = (query[i, head] + layer.content_bias[head, 0]) @ key[j, head]
                scores[i, j] = (near + (query[i, head] + layer.distance_bias[head, 0]) @ far) / math.sqrt(head_size)
        heads.append(scores.softmax(1) @ value[:, head])
    output: Tensor = layer.output(torch.cat(heads, 1))
    return output


@pytest.mark.parametrize("initial_size", [2, 16])
@torch.no_grad()
def test_it_is_the_formula_of_the_paper(initial_size: int) -> None:
    layer = RelativeSelfAttention(8, 2, initial_size=initial_size)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    x, mask = torch.randn(3, 7, 8), length_mask(torch.tensor([7, 4, 1]), 7)
    output = layer(x, mask[:, None, None])
    for row, length in enumerate((7, 4, 1)):
        torch.testing.assert_close(output[row, :length], formula(layer, x[row, :length]), atol=1e-5, rtol=1e-5)


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"even d_model.* 9"):
        RelativeSelfAttention(9, 3)
    with pytest.raises(ConfigError, match="learned"):
        make_frame_positions("learned", 8)  # type: ignore[arg-type]

from __future__ import annotations

import pytest
import torch

from core.errors import ConfigError
from core.layers.grid import GridPositions, GridProjection, ProjectionOptions
from tests.contracts.encoder import assert_close


@torch.no_grad()
def test_a_cell_gets_its_row_and_its_column() -> None:
    positions = GridPositions(2, rows=2, columns=3)
    positions.rows.copy_(torch.tensor([[[10.0, 0.0]], [[20.0, 0.0]]]))
    positions.columns.copy_(torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0]]))
    found = positions(torch.full((1, 6, 2), 0.5))
    assert found[0, :, 0].tolist() == [11.5, 12.5, 13.5, 21.5, 22.5, 23.5]
    assert found[0, :, 1].tolist() == [0.5] * 6


@torch.no_grad()
def test_the_plain_projection_is_a_normed_linear_map() -> None:
    projection = GridProjection(3, 4, (2, 2), ProjectionOptions(positions=False)).eval()
    features = torch.randn(2, 4, 3)
    mapped = features @ projection.linear.weight.T + projection.linear.bias
    centred = mapped - mapped.mean(-1, keepdim=True)
    assert_close(projection(features), centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt())


@torch.no_grad()
def test_layers_let_a_cell_see_the_others() -> None:
    features = torch.randn(1, 4, 3)
    changed = features.clone()
    changed[:, 3] += 1.0
    for num_layers, moved in ((0, False), (1, True)):
        options = ProjectionOptions(num_layers=num_layers, num_heads=2, ffn_size=8)
        projection = GridProjection(3, 4, (2, 2), options).eval()
        assert torch.equal(projection(features)[:, :3], projection(changed)[:, :3]) != moved


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"projection\.num_layers must be at least 0, got -1"):
        ProjectionOptions(num_layers=-1)

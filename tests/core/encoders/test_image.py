from __future__ import annotations

import pytest
import torch
from torch import nn

from core.batch import ImageBatch
from core.encoders.image import Backbone, ImageEncoder
from core.errors import CheckpointError
from core.layers.grid import ProjectionOptions


def test_cells_stand_row_by_row_with_their_channels() -> None:
    images = torch.arange(12.0).view(1, 2, 2, 3)
    backbone = Backbone(nn.Identity(), freeze=False, unfreeze_at=None, has_weights=True)
    assert backbone.probe(2, 3) == (2, 3, 3)
    assert backbone(images).tolist() == [[[0, 6], [1, 7], [2, 8], [3, 9], [4, 10], [5, 11]]]


def test_an_encoder_of_one_file_brings_its_network_alone() -> None:
    """Cells of 2 x 2 pixels, each the mean of its own, before the projection."""
    half = ((0.5,), (0.5,))
    encoder = ImageEncoder(1, nn.AvgPool2d(2), 4, 8, ProjectionOptions(), half)
    image = torch.tensor([[0, 2, 4, 4], [2, 0, 4, 4], [8, 8, 0, 0], [8, 8, 0, 12]]).float()
    features = encoder.extract(ImageBatch(image.view(1, 1, 4, 4), torch.tensor([16])))
    assert (encoder.grid, encoder.n_features, encoder.size, encoder.subsampling) == ((2, 2), 1, 4, 4)
    assert features.values.flatten().tolist() == [1.0, 4.0, 8.0, 3.0]
    assert encoder.output_lengths(torch.tensor([16, 16])).tolist() == [4, 4]


def test_a_backbone_without_its_weights_does_not_run() -> None:
    network = nn.Conv2d(1, 2, 1)
    backbone = Backbone(network, freeze=True, unfreeze_at=None, has_weights=False)
    with pytest.raises(CheckpointError, match="no weights were loaded"):
        backbone(torch.zeros(1, 1, 2, 2))
    backbone.load_state_dict(Backbone(nn.Conv2d(1, 2, 1), True, None, has_weights=True).state_dict())
    assert backbone(torch.zeros(1, 1, 2, 2)).shape == (1, 4, 2)

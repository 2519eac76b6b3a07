"""What every encoder of images keeps, beside what every encoder keeps."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import yaml

from core.batch import FrameBatch, ImageBatch
from core.encoders.image import ImageEncoder
from core.errors import ConfigError
from tests.contracts.encoder import EncoderContract, assert_same, restored


def image_source(count: int, channels: int, size: int, seed: int = 0) -> ImageBatch:
    """Random images as a normalising transform makes them."""
    values = torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))
    return ImageBatch(values, torch.full((count,), size * size))


class ImageEncoderContract(EncoderContract):
    """Tests of an encoder of images: a subclass names `encoder` and `source`, as of `EncoderContract`."""

    encoder: ImageEncoder
    source: ImageBatch

    # Nothing of an image is padding.
    test_states_are_zero_beyond_each_length = None  # type: ignore[assignment]
    test_neither_more_padding_nor_what_stands_in_it_matters = None  # type: ignore[assignment]

    def extract(self, source: ImageBatch) -> FrameBatch:
        with torch.no_grad():
            return self.encoder.eval().extract(source)

    def test_every_state_is_a_cell_of_the_grid(self) -> None:
        rows, columns = self.encoder.grid
        memory = self.encode(self.source)
        assert memory.states.size(1) == rows * columns
        assert memory.lengths.tolist() == [rows * columns] * len(self.source)
        assert memory.mask.all()

    def test_features_are_the_grids_in_full_precision(self) -> None:
        features = self.extract(self.source)
        rows, columns = self.encoder.grid
        assert features.values.shape == (len(self.source), rows * columns, self.encoder.n_features)
        assert features.values.dtype == torch.float32
        assert features.values.std() > 1e-3
        assert features.lengths.tolist() == [rows * columns] * len(self.source)

    def test_features_stand_for_the_images_they_were_made_of(self) -> None:
        assert_same(self.encode(self.extract(self.source)), self.encode(self.source))

    def test_frozen_features_do_not_depend_on_mode_or_autocast(self) -> None:
        if not self.encoder.cacheable:
            assert any(parameter.requires_grad for parameter in self.encoder.backbone.parameters())
            return
        assert not any(parameter.requires_grad for parameter in self.encoder.backbone.parameters())
        expected = self.extract(self.source)
        encoder = copy.deepcopy(self.encoder).train()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            features = encoder.extract(self.source)
        assert torch.equal(features.values, expected.values)
        assert not features.values.requires_grad
        assert encoder.fingerprint() == self.encoder.fingerprint()

    def test_the_fingerprint_is_that_of_the_backbones_weights(self) -> None:
        fingerprint = self.encoder.fingerprint()
        other = copy.deepcopy(self.encoder)
        with torch.no_grad():
            other.project.linear.weight.add_(1.0)
        assert other.fingerprint() == fingerprint
        with torch.no_grad():
            list(other.backbone.parameters())[-1][-1] += 0.5
        assert other.fingerprint() != fingerprint
        loaded = restored(self.encoder)
        assert isinstance(loaded, ImageEncoder)
        assert loaded.fingerprint() == fingerprint

    def test_what_does_not_fit_is_refused(self) -> None:
        size = self.encoder.image_size
        with pytest.raises(ConfigError, match=rf"{size}, {size}\), got .*image_size"):
            self.encode(replace(self.source, values=self.source.values[:, :, :-1]))
        features = self.extract(self.source)
        with pytest.raises(ConfigError, match=rf"reads features \(B, .*{self.encoder.n_features}\), got"):
            self.encode(replace(features, values=features.values[:, :, 1:]))

    def test_what_its_images_must_be_is_on_show(self) -> None:
        channels = self.source.values.size(1)
        assert len(self.encoder.mean) == len(self.encoder.std) == channels
        assert all(0 < value < 1 for value in (*self.encoder.mean, *self.encoder.std))
        assert self.encoder.image_size == self.source.values.size(2)

    def test_portable_options_are_plain_data(self) -> None:
        options = self.encoder.portable_options()
        assert yaml.safe_load(yaml.safe_dump(options)) == options

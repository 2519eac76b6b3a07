from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from core.errors import ConfigError
from core.images.transforms import AugmentOptions, TransformOptions, augmented, draw_rectangle, to_tensor
from tests.core.images.pictures import noise

PLAIN = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def plain(size: int, squash: bool = True) -> TransformOptions:
    return TransformOptions(size, "squash" if squash else "crop", *PLAIN)


def variant(image: Image.Image, options: AugmentOptions, seed: int = 1, size: int = 8) -> Tensor:
    return augmented(image, plain(size), options, np.random.default_rng(seed))


def test_pixels_are_normalised_by_channel() -> None:
    image = Image.new("RGB", (2, 2), (255, 51, 0))
    tensor = to_tensor(image, TransformOptions(2, "squash", (0.5, 0.2, 0.1), (0.5, 0.1, 0.2)))
    assert (tensor.dtype, tensor.shape, tensor.is_contiguous()) == (torch.float32, (3, 2, 2), True)
    torch.testing.assert_close(tensor[:, 1, 1], torch.tensor([1.0, 0.0, -0.5]))


def test_an_image_of_the_size_keeps_its_pixels() -> None:
    image = noise(8, 8)
    expected = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1) / 255
    for squash in (True, False):
        torch.testing.assert_close(to_tensor(image, plain(8, squash)), expected)


def halves(width: int, height: int) -> Image.Image:
    """Black on the left, white on the right."""
    image = Image.new("RGB", (width, height))
    image.paste("white", (width // 2, 0, width, height))
    return image


def test_squashing_keeps_all_and_cropping_takes_the_middle() -> None:
    image = Image.new("RGB", (60, 20))
    image.paste("white", (20, 0, 40, 20))  # the middle third
    squashed = to_tensor(image, plain(12))[0]
    assert squashed[:, 5:7].min() == 1
    assert squashed[:, :3].max() == squashed[:, -3:].max() == 0
    assert to_tensor(image, plain(10, squash=False)).min() > 0.8
    assert to_tensor(image.transpose(Image.Transpose.ROTATE_90), plain(10, squash=False)).min() > 0.8


@pytest.mark.parametrize("size", [(3, 1000), (1000, 3), (1, 1), (223, 224)])
def test_any_image_becomes_of_the_size(size: tuple[int, int]) -> None:
    for squash in (True, False):
        tensor = to_tensor(Image.new("RGB", size, "white"), plain(16, squash))
        assert tensor.shape == (3, 16, 16)
        assert tensor.min() > 0.99


def test_a_variant_follows_from_the_state_of_the_draws() -> None:
    options = AugmentOptions(0.5, 0.5, 0.3, 0.3, 0.3, 0.1)
    image = noise(16, 12)
    first, again, other = (variant(image, options, seed) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_drawing_leaves_torchs_own_state_alone() -> None:
    before = torch.get_rng_state()
    variant(noise(), AugmentOptions(0.5, 0.5, 0.3, 0.3, 0.3, 0.1))
    assert torch.equal(torch.get_rng_state(), before)


def test_without_augmentation_a_variant_is_the_image() -> None:
    for squash in (True, False):
        options = TransformOptions(8, "squash" if squash else "crop")
        variant = augmented(noise(16, 12), options, AugmentOptions(), np.random.default_rng(1))
        torch.testing.assert_close(variant, to_tensor(noise(16, 12), options))


def test_mirroring_is_as_probable_as_asked() -> None:
    image = halves(8, 8)
    assert torch.equal(variant(image, AugmentOptions(flip=1.0)), to_tensor(image, plain(8)).flip(2))
    mirrored = sum(bool(variant(image, AugmentOptions(flip=0.3), seed)[0, 0, 0]) for seed in range(300))
    assert abs(mirrored / 300 - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 300)


def test_brightness_is_a_factor_within_its_bounds() -> None:
    grey = Image.new("RGB", (8, 8), (100, 100, 100))
    factors = [float(variant(grey, AugmentOptions(brightness=0.4), seed).mean()) * 2.55 for seed in range(100)]
    assert 0.6 <= min(factors) < 0.7
    assert 1.3 < max(factors) <= 1.4


def test_without_saturation_colours_are_grey() -> None:
    values = [variant(Image.new("RGB", (8, 8), "red"), AugmentOptions(saturation=1.0), seed) for seed in range(50)]
    spread = torch.stack(values).amax(dim=1) - torch.stack(values).amin(dim=1)  # (50, 8, 8): 0 for grey
    assert spread.min() < 0.1
    assert spread.max() == 1


def test_hue_turns_colours_and_contrast_leaves_a_flat_image() -> None:
    red = Image.new("RGB", (8, 8), "red")
    hues = torch.stack([variant(red, AugmentOptions(hue=0.5), seed)[:, 0, 0] for seed in range(50)])
    assert (hues.argmax(dim=1).bincount(minlength=3) > 5).all()
    grey = Image.new("RGB", (8, 8), (100, 100, 100))
    torch.testing.assert_close(
        variant(grey, AugmentOptions(contrast=0.5)), to_tensor(grey, plain(8)), atol=1e-4, rtol=0
    )


def test_rectangles_keep_to_their_area_and_ratio() -> None:
    random = np.random.default_rng(1)
    areas = []
    for _ in range(300):
        left, top, width, height = draw_rectangle((400, 300), 0.25, random)
        assert left >= 0
        assert top >= 0
        assert left + width <= 400
        assert top + height <= 300
        if (width, height) != (400, 300):
            assert 0.74 < width / height < 1.35
        areas.append(width * height / 120000)
    assert 0.245 < min(areas) < 0.3
    assert max(areas) > 0.85


def test_where_no_rectangle_fits_the_whole_image_is_taken() -> None:
    assert draw_rectangle((1000, 1), 0.9, np.random.default_rng(1)) == (0, 0, 1000, 1)


def test_a_rectangle_is_cut_out() -> None:
    means = [float(variant(halves(64, 64), AugmentOptions(least_area=0.2), seed).mean()) for seed in range(40)]
    assert min(means) < 0.3
    assert max(means) > 0.7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, r"transform\.size must be at least 1 pixel, got 0"),
        ({"std": (1.0, 0.0, 1.0)}, r"transform\.std must be above 0, got \(1\.0, 0\.0, 1\.0\)"),
        ({"mean": (math.nan, 0.0, 1.0)}, r"transform\.mean must be finite"),
    ],
)
def test_transforms_out_of_range(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TransformOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value"), [("least_area", 0.0), ("least_area", 1.1), ("flip", 1.1), ("brightness", -0.1), ("hue", 0.6)]
)
def test_changes_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"data\.augment\.{name} must be in .* got {value}"):
        AugmentOptions(**{name: value})

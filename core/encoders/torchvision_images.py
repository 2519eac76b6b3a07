"""Torchvision's classifiers as encoders: ResNet, EfficientNet, ConvNeXt, MobileNet, ViT.

Letters: B batch, H height, W width, S patches, F features.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from core.encoders.image import ImageEncoder, Normalisation
from core.encoders.image_weights import CHECKPOINT, check_frozen, first_line, put_weights, read_weights
from core.errors import CheckpointError, ConfigError
from core.layers.grid import ProjectionOptions

HEADS = ("fc.", "classifier.", "heads.")
FAMILIES = "ResNet, ResNeXt, EfficientNet, ConvNeXt, MobileNet or ViT"


class TorchvisionEncoder(ImageEncoder):
    """A classifier of torchvision without its last layers: the grid before the pooling, or the patches of a ViT.

    A ViT that was trained on images of another size gets its positions interpolated.

    Args:
        source_size: channels, 3.
        d_model: width D of the states.
        name: torchvision's name of the model, such as resnet18, resnet50, efficientnet_b0, convnext_tiny, vit_b_16.
        image_size: height and width of the images, in pixels.
        weights: "default" for torchvision's newest ones (from its cache, or the network), the path of a state dict, or
            null to begin with random ones; checkpoints set "checkpoint".
        freeze: whether the backbone begins frozen.
        unfreeze_at: the update from which it is trained; None for never.
        projection: what is trained between the backbone and the decoder.

    Raises:
        ConfigError: a model that torchvision doesn't have, or has without a grid; options that contradict each other.
        CheckpointError: weights that aren't there or don't fit.
    """

    def __init__(
        self,
        source_size: int,
        d_model: int = 256,
        name: str = "resnet50",
        image_size: int = 224,
        weights: str | None = "default",
        freeze: bool = True,
        unfreeze_at: int | None = None,
        projection: ProjectionOptions = ProjectionOptions(),  # noqa: B008 (frozen)
    ) -> None:
        check_name(name)
        check_frozen(weights, freeze)
        model = make_classifier(name, image_size)
        network = grid_part(name, model)
        if weights not in (None, CHECKPOINT):
            state = default_state(name) if weights == "default" else read_weights(weights)
            put_weights(
                model, resized(model, state), HEADS, f"{name} of torchvision" if weights == "default" else weights
            )
        super().__init__(
            source_size,
            network,
            image_size,
            d_model,
            projection,
            normalisation(name),
            freeze,
            unfreeze_at,
            has_weights=weights != CHECKPOINT,
        )
        self.weights = weights

    def portable_options(self) -> dict[str, Any]:
        """Options for a checkpoint, which brings the weights itself."""
        return {} if self.weights is None else {"weights": CHECKPOINT}


class Patches(nn.Module):
    """A ViT (Dosovitskiy et al. 2021) that gives its patches' last states as a grid."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.hidden, self.patch = model.hidden_dim, model.patch_size
        self.conv_proj, self.encoder = model.conv_proj, model.encoder
        self.class_token = model.class_token

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (B, 3, H, W) to (B, F, H / patch, W / patch)."""
        grid = self.conv_proj(images)
        patches = grid.flatten(2).transpose(1, 2)  # (B, S, F)
        states = self.encoder(torch.cat([self.class_token.expand(len(patches), -1, -1), patches], 1))
        return states[:, 1:].transpose(1, 2).unflatten(2, grid.shape[2:])  # type: ignore[no-any-return]


def check_name(name: str) -> None:
    """Raises ConfigError where torchvision has no classifier of that name."""
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise ConfigError(
            f"model.encoder.name: torchvision has no classifier {name!r}; resnet50, efficientnet_b0, convnext_tiny and "
            f"vit_b_16 are some of its {len(known)}"
        )


def make_classifier(name: str, image_size: int) -> Any:
    """Makes a classifier with random weights.

    Raises:
        ConfigError: a ViT's patches don't cover images of that size.
    """
    from torchvision import models

    if not name.startswith("vit_"):
        return models.get_model(name, weights=None)
    patch = int(name.rsplit("_", 1)[1])
    if image_size % patch:
        raise ConfigError(f"model.encoder.image_size must be a multiple of the patches of {name}, got {image_size}")
    return models.get_model(name, weights=None, image_size=image_size)


def grid_part(name: str, model: Any) -> nn.Module:
    """The part of a classifier that makes the grid; it shares its weights.

    Raises:
        ConfigError: a classifier of another family.
    """
    from torchvision import models

    if isinstance(model, models.ResNet):
        return nn.Sequential(*(part for child, part in model.named_children() if child not in ("avgpool", "fc")))
    if isinstance(model, models.EfficientNet | models.ConvNeXt | models.MobileNetV2 | models.MobileNetV3):
        return model.features  # type: ignore[no-any-return]
    if isinstance(model, models.VisionTransformer):
        return Patches(model)
    raise ConfigError(f"model.encoder.name: {name} has no grid that this encoder reads; choose a {FAMILIES}")


def normalisation(name: str) -> Normalisation:
    """The mean and standard deviation that torchvision's weights of a model expect to be taken out."""
    from torchvision import models

    transform = models.get_model_weights(name).DEFAULT.transforms()
    return tuple(transform.mean), tuple(transform.std)


def default_state(name: str) -> dict[str, Tensor]:
    """Reads torchvision's newest weights of a model, from its cache or the network.

    Raises:
        CheckpointError: neither has them.
    """
    from torchvision import models

    weights = models.get_model_weights(name).DEFAULT
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"model.encoder.weights: {weights.url} isn't in torchvision's cache ({torch.hub.get_dir()}/checkpoints), "
            f"and can't be fetched ({first_line(error)}): put the file there, give its path, or set weights to null "
            f"and freeze to false"
        ) from error


def resized(model: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Interpolates the positions of a ViT's state where it was made for images of another size."""
    from torchvision import models
    from torchvision.models.vision_transformer import interpolate_embeddings

    positions = state.get("encoder.pos_embedding")
    if not isinstance(model, models.VisionTransformer) or positions is None:
        return state
    if positions.shape == model.encoder.pos_embedding.shape:
        return state
    return dict(interpolate_embeddings(model.image_size, model.patch_size, state))

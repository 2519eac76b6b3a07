"""`python -m tasks.captioning fit|validate|test|predict`, and `draw`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.cli import main

if TYPE_CHECKING:
    from core.task import Task


def load() -> Task:
    """Imports what trains."""
    from core.data.image_datamodule import ImageDataModule
    from core.decoders.recurrent import RecurrentDecoder
    from core.decoders.transformer import TransformerDecoder
    from core.encoders.efficientnet_lite import EfficientNetLiteEncoder
    from core.encoders.image_cnn import SmallCnnEncoder
    from core.encoders.timm_images import TimmEncoder
    from core.encoders.torchvision_images import TorchvisionEncoder
    from core.task import Task
    from tasks.captioning.module import CaptioningModule
    from tasks.captioning.predict import CaptionPredictOptions, predict_captions

    encoders = (SmallCnnEncoder, EfficientNetLiteEncoder, TorchvisionEncoder, TimmEncoder)
    parts = (*encoders, RecurrentDecoder, TransformerDecoder)
    return Task(CaptioningModule, ImageDataModule, CaptionPredictOptions, predict_captions, parts)


def draw(arguments: Sequence[str]) -> None:
    """Imports what draws."""
    from tasks.captioning.draw import main as write

    write(arguments)


if __name__ == "__main__":
    main("captioning", load, {"draw": ("write built-in scenes as PNG files: draw FOLDER [COUNT]", draw)})

"""What encoders of images share: a backbone, frozen or not, and a trained projection of its grid.

Letters: B batch, C channels, H height and W width of an image, S cells of the grid, F features of a cell, D width of
the model.
"""

from __future__ import annotations

from hashlib import sha256

import torch
from torch import Tensor, nn
from torch.func import functional_call

from core.batch import FrameBatch, ImageBatch, Source
from core.encoders.base import Encoder, Memory
from core.encoders.freezing import Freezable
from core.errors import CheckpointError, ConfigError
from core.layers.grid import GridProjection, ProjectionOptions

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]


class Backbone(Freezable):
    """Holds a network that maps images (B, C, H, W) to a grid of features (B, F, H', W').

    While it is frozen it runs in float32, whatever autocast says: its features may be cached, and must not depend on
    who asks for them. An unfrozen one is trained as torch trains: its batch norms see the batch.

    Args:
        model: the network.
        freeze: see `Freezable`.
        unfreeze_at: see `Freezable`.
        has_weights: whether the network has the weights that it shall have; else it refuses to run before some are
            loaded.
    """

    def __init__(self, model: nn.Module, freeze: bool, unfreeze_at: int | None, has_weights: bool) -> None:
        # Channels last: up to twice as fast on the CPU, and the grid's cells lie in memory as they are read.
        super().__init__(model.to(memory_format=torch.channels_last), freeze, unfreeze_at)
        self.has_weights = has_weights
        self.register_load_state_dict_post_hook(note_weights)  # type: ignore[no-untyped-call]

    def forward(self, images: Tensor) -> Tensor:
        """Maps images (B, C, H, W) to cells (B, S, F), row by row, in float32.

        Raises:
            CheckpointError: it was made for a checkpoint, but its weights were never loaded.
        """
        if not self.has_weights:
            raise CheckpointError(
                "model.encoder.weights is checkpoint, but no weights were loaded: give --ckpt_path a checkpoint of "
                "this encoder, or name other weights"
            )
        images = images.contiguous(memory_format=torch.channels_last)
        kind = images.device.type
        autocast = torch.is_autocast_enabled(kind) and not self.frozen
        with self.gradients(), torch.autocast(kind, enabled=autocast):
            grid: Tensor = self.model(images)
        return grid.permute(0, 2, 3, 1).flatten(1, 2).float()

    def probe(self, channels: int, image_size: int) -> tuple[int, int, int]:
        """The features F, rows and columns of an image's grid, found without computing anything."""
        parts = (*self.model.named_parameters(), *self.model.named_buffers())
        shapes = {name: part.detach().to("meta") for name, part in parts}
        images = torch.empty(1, channels, image_size, image_size, device="meta")
        self.model.eval()  # in training, torch refuses batch norms of a single value
        with torch.no_grad():
            _, features, rows, columns = functional_call(self.model, shapes, (images,)).shape
        self.train(self.training)
        return features, rows, columns


def note_weights(backbone: nn.Module, keys: object) -> None:
    """Notes that a state has been loaded."""
    backbone.has_weights = True  # type: ignore[assignment]


class ImageEncoder(Encoder):
    """Encodes images of one size: the cells of a backbone's grid, projected to the model's width.

    It reads images, or the features that `extract` made of them: those of a frozen backbone need be made only once.

    Subclasses make the backbone's network; the first argument of their constructor is `source_size`.

    Args:
        source_size: channels C of the images.
        network: maps images (B, C, H, W) to a grid (B, F, H', W').
        image_size: height and width of the images, in pixels.
        d_model: width D of the states.
        projection: what is trained between the backbone and the decoder.
        normalisation: mean and standard deviation of each channel that the network's weights expect to be taken out.
        freeze: whether the backbone begins frozen.
        unfreeze_at: the update from which it is trained; None for never.
        has_weights: see `Backbone`.

    Attributes:
        image_size: height and width of the images that it reads, in pixels.
        mean: of each channel; images must come as (values in [0, 1] - mean) / std.
        std: of each channel.
        n_features: features F of a cell.
        grid: rows and columns of the grid; cell (r, c) is state r * columns + c.

    Raises:
        ConfigError: channels that the network doesn't read, or images that leave less than 2 x 2 cells.
    """

    def __init__(
        self,
        source_size: int,
        network: nn.Module,
        image_size: int,
        d_model: int,
        projection: ProjectionOptions,
        normalisation: Normalisation,
        freeze: bool = False,
        unfreeze_at: int | None = None,
        has_weights: bool = True,
    ) -> None:
        super().__init__()
        self.source_size, self.image_size, self.d_model = source_size, image_size, d_model
        self.mean, self.std = normalisation
        if len(self.mean) != source_size:
            raise ConfigError(
                f"{type(self).__name__} reads images of {len(self.mean)} channels, but the data's have {source_size}: "
                f"convert the images (grey-scale to RGB), or choose another encoder"
            )
        self.backbone = Backbone(network, freeze, unfreeze_at, has_weights)
        self.n_features, *grid = self.backbone.probe(source_size, image_size)
        self.grid: tuple[int, int] = (grid[0], grid[1])
        # Of a grid of one column oneDNN's convolutions in bfloat16 make anything (torch 2.14.1).
        if min(grid) < 2:
            raise ConfigError(
                f"model.encoder.image_size {image_size} leaves a grid of {grid[0]} x {grid[1]} cells, and at least "
                f"2 x 2 are needed: take larger images"
            )
        self.subsampling = image_size**2 // self.size
        self.project = GridProjection(self.n_features, d_model, self.grid, projection)

    @property
    def size(self) -> int:
        """Cells S of the grid: the length of every memory."""
        return self.grid[0] * self.grid[1]

    @property
    def cacheable(self) -> bool:
        """Whether `extract` gives the same for an image in each epoch: the backbone is never trained."""
        return self.backbone.freeze and self.backbone.unfreeze_at is None

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """All images have S states: (B,) to (B,)."""
        return torch.full_like(lengths, self.size)

    def extract(self, images: ImageBatch) -> FrameBatch:
        """Makes the features of images (B, C, H, W): (B, S, F), float32, without gradient while it is frozen.

        Raises:
            ConfigError: images of another size.
        """
        shape = (self.source_size, self.image_size, self.image_size)
        if tuple(images.values.shape[1:]) != shape:
            raise ConfigError(
                f"the encoder reads images (B, {', '.join(map(str, shape))}), got {tuple(images.values.shape)}: make "
                f"data.image_size and model.encoder.image_size the same"
            )
        return FrameBatch(self.backbone(images.values), self.output_lengths(images.lengths))

    def forward(self, source: Source) -> Memory:
        """Encodes images (B, C, H, W), or features (B, S, F) that `extract` made of them: states (B, S, D).

        Raises:
            ConfigError: images of another size, or features of another backbone.
        """
        features = self.extract(source) if isinstance(source, ImageBatch) else source
        if tuple(features.values.shape[1:]) != (self.size, self.n_features):
            raise ConfigError(
                f"the encoder reads features (B, {self.size}, {self.n_features}), got {tuple(features.values.shape)}: "
                f"they were made by another backbone, or of images of another size"
            )
        return Memory(self.project(features.values), self.output_lengths(features.lengths))

    def fingerprint(self) -> str:
        """A name of what `extract` does: of the backbone's kind and weights and the size of its images."""
        digest = sha256(f"{type(self).__name__} {self.image_size} {self.grid} {self.mean} {self.std}".encode())
        for name, weight in self.backbone.state_dict().items():
            digest.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
            digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:32]

"""How Lightning's checkpoints reach the disk: whole or not at all, and back without executing code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io import TorchCheckpointIO

from core.atomic import save_whole


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place and then moves it there.

    Lightning's own writes it to the system's folder for temporary files first, whence moving it into the run's folder
    is a copy wherever that is another disk: killed meanwhile, it leaves half a file and nothing of the one before. It
    also makes the file in memory first, of which a large model may not leave enough.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Writes a checkpoint.

        Raises:
            StorageError: it can't be written; the one that was there before is as it was.
        """
        if "://" in str(path):  # a bucket: what arrives there is whole, by its own protocol
            super().save_checkpoint(checkpoint, path, storage_options)
        else:
            save_whole(checkpoint, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Reads a checkpoint to the CPU, whatever is asked for without executing code."""
        return super().load_checkpoint(path, map_location, weights_only=True)

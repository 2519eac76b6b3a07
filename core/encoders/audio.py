"""The encoder of sound: a front-end and an encoder of the features that it makes."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from core.audio.frontend import FrontEnd
from core.batch import Source
from core.encoders.base import Encoder, Memory
from core.errors import ConfigError


class AudioEncoder(Encoder):
    """Lets an encoder of frames hear: the front-end belongs to it, so that a checkpoint carries both.

    Its source is samples: `subsampling` counts them. An encoder of frames is made with the number of features a frame
    (`frontend.n_features`). Encoders that read samples themselves say so by `reads_waveform = True`: they need no
    front-end.

    Args:
        frontend: makes the features.
        encoder: encodes them.

    Raises:
        ConfigError: the encoder reads samples.
    """

    def __init__(self, frontend: FrontEnd, encoder: Encoder) -> None:
        super().__init__()
        if getattr(encoder, "reads_waveform", False):
            raise ConfigError(
                f"model.encoder {type(encoder).__name__} reads samples, and model.frontend would give it features: "
                "leave the front-end out"
            )
        self.frontend = frontend
        self.encoder = encoder
        self.d_model = encoder.d_model
        self.subsampling = frontend.log_mel.hop_size * encoder.subsampling

    @property
    def seconds_per_state(self) -> float:
        """From one state of the memory to the next, for timestamps; the first begins with the first sample."""
        return self.subsampling / self.frontend.sample_rate

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """How many states utterances of so many samples (B,) have, at their own speed: (B,), 0 for too short ones."""
        return self.encoder.output_lengths(self.frontend.frames(lengths))

    def portable_options(self) -> dict[str, Any]:
        """Those of the encoder of frames: the front-end's options are the module's."""
        return self.encoder.portable_options()

    def forward(self, source: Source) -> Memory:
        """Encodes samples (B, S): states (B, S', D).

        Raises:
            CheckpointError: the front-end normalises by statistics that were never set.
            DataError: an utterance is shorter than one step of the encoder's subsampling.
        """
        memory: Memory = self.encoder(self.frontend(source))
        return memory

"""The encoder of sound: a front-end and an encoder of the features that it makes."""

from __future__ import annotations

from core.audio.frontend import FrontEnd
from core.batch import Source
from core.encoders.base import Encoder, Memory
from core.errors import ConfigError


class AudioEncoder(Encoder):
    """Lets an encoder of frames hear: the front-end belongs to it, so that a checkpoint carries both.

    An encoder of frames is made with the number of features a frame. If it gives fewer states than frames, it says so
    by an integer attribute `subsampling`, the frames of a state. Encoders that read samples themselves say so by
    `reads_waveform = True`: they need no front-end.

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

    @property
    def seconds_per_state(self) -> float:
        """From one state of the memory to the next, for timestamps; the first begins with the first sample."""
        subsampling: int = getattr(self.encoder, "subsampling", 1)
        return self.frontend.seconds_per_frame * subsampling

    def forward(self, source: Source) -> Memory:
        """Encodes samples (B, S): states (B, S', D).

        Raises:
            CheckpointError: the front-end normalises by statistics that were never set.
            DataError: an utterance is shorter than one step of the encoder's subsampling.
        """
        memory: Memory = self.encoder(self.frontend(source))
        return memory

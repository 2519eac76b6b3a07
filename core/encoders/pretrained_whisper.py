"""Whisper's pretrained encoder, with its own log-mel front-end.

Letters: B batch, S source length in samples, T states, W windows, N samples a window, M mel bands, D model width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.batch import Source
from core.encoders.base import Encoder, Memory
from core.encoders.pretrained import Architecture, Layers, PretrainedModel, make_model
from core.encoders.samples import check_rate, read_samples
from core.errors import CheckpointError
from core.masks import length_mask


class WhisperEncoder(Encoder):
    """The encoder of a pretrained Whisper (Radford et al. 2022, section 2.2).

    Whisper reads windows of 30 seconds, padded with silence that it was trained to hear: each costs the same, however
    short the utterance. A longer source is cut into windows one after the other, which don't see each other. Given are
    the states of the real part only, one for each 320 samples that were begun, ceil(S / 320).

    Args:
        sample_rate: samples a second of the data; must be the pretrained model's.
        path: a folder that `save_pretrained` wrote, or an id on the Hugging Face hub.
        architecture: set by checkpoints, which bring the weights themselves; the path isn't read then.
        layers: the states that are given; see `core.encoders.pretrained.PretrainedModel`.
        freeze: whether the pretrained weights are kept as they are.
        unfreeze_at: the update from which they are trained all the same; None for never.

    Raises:
        ConfigError: neither path nor architecture, another sample rate, or options that contradict each other.
        CheckpointError: nothing to be read at the path, or a model of another kind.
    """

    reads_waveform = True

    def __init__(
        self,
        sample_rate: int,
        path: str | None = None,
        architecture: dict[str, Any] | None = None,
        layers: Layers = "last",
        freeze: bool = False,
        unfreeze_at: int | None = None,
    ) -> None:
        super().__init__()
        from transformers import WhisperConfig

        self.architecture = Architecture.of(path, architecture, {"whisper"})
        self.log_mel = WhisperLogMel(self.architecture.feature_extractor)
        self.sample_rate = self.log_mel.sample_rate
        check_rate(sample_rate, self.sample_rate, path or "whisper")
        config = WhisperConfig.from_dict(self.architecture.config)
        config.encoder_layerdrop = 0.0  # distributed training can't do with parameters that come and go
        self.subsampling = 2 * self.log_mel.hop
        self.window_states = self.log_mel.window // self.subsampling
        if self.window_states != config.max_source_positions:
            raise CheckpointError(
                f"model.encoder.path: the feature extractor gives {self.window_states} states a window, the model has "
                f"{config.max_source_positions} positions (max_source_positions): they don't belong together"
            )
        model = whisper_encoder(config, self.architecture)
        self.pretrained = PretrainedModel(
            model, config.encoder_layers, layers, freeze, unfreeze_at, has_weights=architecture is None
        )
        self.d_model: int = config.d_model

    @property
    def seconds_per_state(self) -> float:
        """From one state of the memory to the next, for timestamps; the first begins with the first sample."""
        return self.subsampling / self.sample_rate

    def portable_options(self) -> dict[str, Any]:
        """Options for a checkpoint beside those that were given, so that it loads where the path isn't."""
        return {"architecture": self.architecture.plain()}

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Lengths in samples (B,) to lengths in states (B,), rounded up."""
        return (lengths + self.subsampling - 1) // self.subsampling

    def forward(self, source: Source) -> Memory:
        """Encodes samples (B, S): states (B, T, D).

        Raises:
            DataError: an utterance without a sample.
            CheckpointError: the pretrained weights were never loaded.
        """
        samples = read_samples(source, least=1)
        window, lengths = self.log_mel.window, self.output_lengths(source.lengths)
        windows = F.pad(samples, (0, -samples.size(1) % window)).view(len(samples), -1, window)  # (B, W, N)
        heard = length_mask((source.lengths + window - 1) // window, windows.size(1))
        found = self.pretrained({"input_features": self.log_mel(windows[heard])})
        states = found.new_zeros(*windows.shape[:2], self.window_states, self.d_model)
        states = states.masked_scatter(heard[:, :, None, None], found).flatten(1, 2)[:, : int(lengths.max())]
        return Memory(states.masked_fill(~length_mask(lengths, states.size(1)).unsqueeze(2), 0.0), lengths)


class WhisperLogMel(nn.Module):
    """Whisper's log-mel spectrogram of whole windows, equal to transformers' WhisperFeatureExtractor.

    Args:
        options: the feature extractor's.

    Attributes:
        sample_rate: samples a second.
        hop: samples a frame.
        window: samples a window N.
    """

    hann: Tensor
    filters: Tensor

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        self.sample_rate = int(options.get("sampling_rate", 16_000))
        self.hop, self.fft_size = int(options.get("hop_length", 160)), int(options.get("n_fft", 400))
        self.window = int(options.get("chunk_length", 30)) * self.sample_rate
        filters = mel_filter_bank(
            num_frequency_bins=1 + self.fft_size // 2,
            num_mel_filters=int(options.get("feature_size", 80)),
            min_frequency=0.0,
            max_frequency=8000.0,
            sampling_rate=self.sample_rate,
            norm="slaney",
            mel_scale="slaney",
        )
        self.register_buffer("hann", torch.hann_window(self.fft_size), persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters).float().T.contiguous(), persistent=False)

    @torch.no_grad()
    def forward(self, windows: Tensor) -> Tensor:
        """Windows (W, N) to frames (W, M, N / hop), within 8 of the window's loudest, scaled as Whisper was trained."""
        with torch.autocast(windows.device.type, enabled=False):
            spectrum = torch.stft(windows.float(), self.fft_size, self.hop, window=self.hann, return_complex=True)
            power = spectrum[..., :-1].abs().square()
            bands = (self.filters @ power).clamp(min=1e-10).log10()
            loudest = bands.amax((1, 2), keepdim=True)
            return (torch.maximum(bands, loudest - 8.0) + 4.0) / 4.0


def whisper_encoder(config: Any, architecture: Architecture) -> Any:
    """Makes the encoder; a pretrained Whisper's decoder is read with it and dropped."""
    from transformers import WhisperModel
    from transformers.models.whisper.modeling_whisper import WhisperEncoder as TransformersEncoder

    if architecture.path is None:
        return TransformersEncoder(config)
    return make_model(WhisperModel, config, architecture, needed="encoder.").encoder

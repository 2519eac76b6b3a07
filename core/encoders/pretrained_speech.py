"""Pretrained encoders of speech that read samples: wav2vec 2.0, HuBERT, WavLM.

Letters: B batch, S source length in samples, T states, C channels of the convolutions, D model width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.batch import Source
from core.encoders.base import Encoder, Memory
from core.encoders.pretrained import Architecture, Layers, PretrainedModel, make_model
from core.encoders.samples import check_rate, read_samples
from core.errors import CheckpointError, ConfigError
from core.masks import length_mask


class PretrainedSpeechEncoder(Encoder):
    """A pretrained wav2vec 2.0 (Baevski et al. 2020), HuBERT (Hsu et al. 2021) or WavLM (Chen et al. 2022).

    Samples are normalised utterance by utterance where the pretrained model's were. Padding is masked everywhere, in
    the statistics of a group norm among the convolutions too, so that an utterance in a batch gives what
    transformers' model gives for it alone; transformers' own batches of group-norm models don't.

    In training, spans of states are masked as in pretraining. Dropout is the pretrained configuration's; layers
    aren't dropped as wholes, since distributed training can't do with parameters that come and go.

    Args:
        sample_rate: samples a second of the data; must be the pretrained model's.
        path: a folder that `save_pretrained` wrote, or an id on the Hugging Face hub.
        architecture: set by checkpoints, which bring the weights themselves; the path isn't read then.
        layers: the states that are given; see `core.encoders.pretrained.PretrainedModel`.
        freeze: whether the pretrained weights are kept as they are.
        unfreeze_at: the update from which they are trained all the same; None for never.
        freeze_convolutions: whether the convolutions are kept for ever, as in Baevski et al. 2020.
        mask_prob: share of the states where a masked span begins, times the span's length; 0 for no masking.
        mask_length: states in a masked span.

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
        freeze_convolutions: bool = True,
        mask_prob: float = 0.05,
        mask_length: int = 10,
    ) -> None:
        super().__init__()
        check_masking(mask_prob, mask_length)
        families = speech_families()
        self.architecture = Architecture.of(path, architecture, families)
        config_class, model_class = families[self.architecture.model_type]
        config = adapted(config_class.from_dict(self.architecture.config), mask_prob)
        self.sample_rate = int(self.architecture.feature_extractor.get("sampling_rate", 16_000))
        check_rate(sample_rate, self.sample_rate, path or self.architecture.model_type)
        model = make_model(model_class, config, self.architecture)
        if freeze_convolutions:
            model.feature_extractor._freeze_parameters()
        if mask_prob:
            model.masked_spec_embed.requires_grad_(False)
        replace_group_norm(model.feature_extractor.conv_layers[0])
        self.pretrained = PretrainedModel(
            model, config.num_hidden_layers, layers, freeze, unfreeze_at, has_weights=architecture is None
        )
        self.d_model: int = config.hidden_size
        self.kernels, self.strides = tuple(config.conv_kernel), tuple(config.conv_stride)
        self.mask_prob, self.mask_length = mask_prob, mask_length
        self.normalises = bool(self.architecture.feature_extractor.get("do_normalize", True))

    @property
    def subsampling(self) -> int:  # type: ignore[override]
        """Samples a state."""
        return math.prod(self.strides)

    @property
    def seconds_per_state(self) -> float:
        """From one state of the memory to the next, for timestamps; the first begins with the first sample."""
        return self.subsampling / self.sample_rate

    def portable_options(self) -> dict[str, Any]:
        """Options for a checkpoint beside those that were given, so that it loads where the path isn't."""
        return {"architecture": self.architecture.plain()}

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Lengths in samples (B,) to lengths in states (B,): the convolutions have no padding."""
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            lengths = ((lengths - kernel) // stride + 1).clamp(min=0)
        return lengths

    def least(self) -> int:
        """The shortest source that gives a state, in samples."""
        size = 1
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            size = (size - 1) * stride + kernel
        return size

    def forward(self, source: Source) -> Memory:
        """Encodes samples (B, S): states (B, T, D).

        Raises:
            DataError: an utterance is shorter than the convolutions' field of view.
            CheckpointError: the pretrained weights were never loaded.
        """
        samples = read_samples(source, self.least())
        mask = length_mask(source.lengths, samples.size(1))
        if self.normalises:
            samples = standardised(samples, mask, source.lengths)
        lengths = self.output_lengths(source.lengths)
        size = int(self.output_lengths(torch.tensor(samples.size(1))))
        inputs = {"input_values": samples, "attention_mask": mask.long()}
        if self.training and not self.pretrained.frozen and self.mask_prob:
            inputs["mask_time_indices"] = spans((len(lengths), size), self.mask_prob, self.mask_length, samples.device)
        norm = self.pretrained.model.feature_extractor.conv_layers[0].layer_norm
        if isinstance(norm, PaddedGroupNorm):
            norm.lengths = (source.lengths - self.kernels[0]) // self.strides[0] + 1
        states = self.pretrained(inputs)
        return Memory(states.masked_fill(~length_mask(lengths, size).unsqueeze(2), 0.0), lengths)


def speech_families() -> dict[str, tuple[Any, Any]]:
    """Configuration and model by transformers' name of the type."""
    from transformers import HubertConfig, HubertModel, Wav2Vec2Config, Wav2Vec2Model, WavLMConfig, WavLMModel

    return {
        "hubert": (HubertConfig, HubertModel),
        "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
        "wavlm": (WavLMConfig, WavLMModel),
    }


def check_masking(mask_prob: float, mask_length: int) -> None:
    """Raises ConfigError for spans that can't be drawn."""
    if not 0 <= mask_prob < 1:
        raise ConfigError(f"model.encoder.mask_prob must be at least 0 and below 1, got {mask_prob}")
    if mask_length < 1:
        raise ConfigError(f"model.encoder.mask_length must be at least 1, got {mask_length}")


def adapted(config: Any, mask_prob: float) -> Any:
    """Sets what is done differently here: masks are drawn by torch's generator, layers aren't dropped.

    Raises:
        CheckpointError: the model ends with an adapter, whose convolutions would see the padding.
    """
    if getattr(config, "add_adapter", False):
        raise CheckpointError(
            f"the pretrained {config.model_type} has an adapter behind its encoder (add_adapter), which isn't read "
            "here: choose a model without one"
        )
    config.mask_time_prob, config.mask_feature_prob, config.apply_spec_augment = mask_prob, 0.0, True
    config.layerdrop = 0.0
    return config


class PaddedGroupNorm(nn.GroupNorm):
    """A norm over time for each channel, whose mean and variance are those of the real frames alone.

    Attributes:
        lengths: frames of each example of the next batch (B,), set before it is run.
    """

    lengths: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """Normalises (B, C, T)."""
        x = inputs.float()
        mask = length_mask(self.lengths, x.size(2)).unsqueeze(1)
        count = self.lengths.view(-1, 1, 1)
        centred = x - x.masked_fill(~mask, 0.0).sum(2, keepdim=True) / count
        variance = centred.masked_fill(~mask, 0.0).square().sum(2, keepdim=True) / count
        normed = centred * torch.rsqrt(variance + self.eps)
        return (normed * self.weight.unsqueeze(1) + self.bias.unsqueeze(1)).to(inputs.dtype)


def replace_group_norm(layer: Any) -> None:
    """Puts a norm that knows the lengths where the first convolution has one over time."""
    norm = layer.layer_norm
    if isinstance(norm, nn.GroupNorm):
        layer.layer_norm = PaddedGroupNorm(norm.num_groups, norm.num_channels, norm.eps)
        layer.layer_norm.weight, layer.layer_norm.bias = norm.weight, norm.bias


def standardised(samples: Tensor, mask: Tensor, lengths: Tensor) -> Tensor:
    """Gives each utterance of (B, S) mean 0 and variance 1, as transformers' Wav2Vec2FeatureExtractor; zero beyond."""
    count = lengths.unsqueeze(1)
    centred = (samples - samples.sum(1, keepdim=True) / count).masked_fill(~mask, 0.0)
    return centred * torch.rsqrt(centred.square().sum(1, keepdim=True) / count + 1e-7)


def spans(shape: tuple[int, int], share: float, length: int, device: torch.device) -> Tensor:
    """Draws which states are masked: (B, T), spans of one length that may overlap (Park et al. 2019, over time)."""
    starts = torch.rand(shape, device=device) < share / length
    return F.max_pool1d(F.pad(starts.float(), (length - 1, 0)), length, 1).bool()

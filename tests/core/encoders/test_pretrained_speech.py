"""Pretrained encoders of speech, with small random models of transformers that are saved and loaded by path."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from torch import Tensor

from core.batch import AudioBatch, FrameBatch
from core.encoders.pretrained_speech import PretrainedSpeechEncoder, spans
from core.encoders.pretrained_whisper import WhisperEncoder, WhisperLogMel
from core.errors import CheckpointError, ConfigError, DataError
from tests.contracts.encoder import EncoderContract, assert_close

RATE = 8_000
# 16 channels in a group of the positional convolution: oneDNN's bfloat16 convolution of 8 in a group and an even width
# gives wrong numbers (torch 2.14.1); pretrained models have 48 or 64.
SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 3, 2),
    "conv_stride": (5, 2, 2),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
WAVE: dict[str, Any] = {
    "wav2vec2-layer": ("Wav2Vec2", {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}),
    "wav2vec2-group": ("Wav2Vec2", {"feat_extract_norm": "group"}),
    "hubert-layer": ("Hubert", {"feat_extract_norm": "layer", "do_stable_layer_norm": True}),
    "hubert-group": ("Hubert", {"feat_extract_norm": "group", "feat_proj_layer_norm": False}),
    "wavlm-layer": ("WavLM", {"feat_extract_norm": "layer", "do_stable_layer_norm": True}),
    "wavlm-group": ("WavLM", {"feat_extract_norm": "group"}),
}
Folder = Callable[[str], str]


def save_wave(kind: str, folder: Path) -> None:
    """Writes a small random model and its feature extractor; lengths count in normalisation for those of layer norm."""
    name, options = WAVE[kind]
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**SMALL, **options))
    model.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=RATE, do_normalize="layer" in kind).save_pretrained(folder)


def save_whisper(folder: Path) -> None:
    """Writes a small random Whisper with windows of one second."""
    torch.manual_seed(0)
    config = transformers.WhisperConfig(
        vocab_size=20, d_model=16, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=16, max_source_positions=50, num_mel_bins=20,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    transformers.WhisperForConditionalGeneration(config).save_pretrained(folder)
    transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=1).save_pretrained(folder)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The folder of a saved model, by its name; each is made once."""
    root = tmp_path_factory.mktemp("pretrained")

    def make(kind: str) -> str:
        if not (root / kind).exists():
            (root / kind).mkdir()
            save_whisper(root / kind) if kind == "whisper" else save_wave(kind, root / kind)
        return str(root / kind)

    return make


def waves(lengths: list[int], seed: int = 0) -> AudioBatch:
    """Noise of those lengths, not centred, as loud as speech."""
    values = 0.1 * torch.randn(len(lengths), max(lengths), generator=torch.Generator().manual_seed(seed)) + 0.02
    sizes = torch.tensor(lengths)
    return AudioBatch(values.masked_fill(torch.arange(max(lengths)) >= sizes.unsqueeze(1), 0.0), sizes)


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("wav2vec2-layer", {"freeze_convolutions": False}),
    ("wav2vec2-group", {"freeze_convolutions": False, "mask_prob": 0.0}),
    ("hubert-layer", {"layers": "weighted", "freeze": True}),
    ("hubert-group", {"layers": "weighted"}),
    ("wavlm-layer", {}),
    ("wavlm-group", {"layers": "weighted", "freeze_convolutions": False}),
]


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
class TestPretrainedSpeechEncoder(EncoderContract):
    @pytest.fixture(autouse=True, params=OPTIONS, ids=str)
    def build_from(self, request: pytest.FixtureRequest, folder: Folder) -> None:
        kind, options = request.param
        torch.manual_seed(0)
        self.encoder = PretrainedSpeechEncoder(RATE, folder(kind), **options)
        self.source = waves([900, 640, 401])


class TestWhisperEncoder(EncoderContract):
    """Windows of one second: the first source has two of them, one short and one of a single state."""

    @pytest.fixture(autouse=True, params=[{}, {"layers": "weighted", "freeze": True}], ids=str)
    def build_from(self, request: pytest.FixtureRequest, folder: Folder) -> None:
        torch.manual_seed(0)
        self.encoder = WhisperEncoder(16_000, folder("whisper"), **request.param)
        self.source = waves([16_200, 16_000, 7_000, 1])


def reference(folder: str, wave: Tensor, rate: int) -> Any:
    """What transformers makes of one utterance alone."""
    inputs = transformers.AutoFeatureExtractor.from_pretrained(folder)(
        wave.numpy(), sampling_rate=rate, return_tensors="pt"
    )
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        return (model.encoder if "whisper" in folder else model)(**inputs, output_hidden_states=True)


@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
@pytest.mark.parametrize("kind", WAVE)
@torch.no_grad()
def test_a_batch_gives_what_transformers_gives_for_each_alone(kind: str, folder: Folder) -> None:
    encoder = PretrainedSpeechEncoder(RATE, folder(kind)).eval()
    source = waves([900, 640, 401])
    memory = encoder(source)
    for row, length in enumerate(source.lengths.tolist()):
        expected = reference(folder(kind), source.values[row, :length], RATE).last_hidden_state[0]
        assert len(expected) == memory.lengths[row]
        assert_close(memory.states[row, : len(expected)], expected)


@pytest.mark.parametrize("kind", ["wav2vec2-layer", "hubert-group"])
@torch.no_grad()
def test_a_mixture_of_layers(kind: str, folder: Folder) -> None:
    encoder = PretrainedSpeechEncoder(RATE, folder(kind), layers="weighted").eval()
    assert encoder.pretrained.mixture is not None
    encoder.pretrained.mixture.copy_(torch.tensor([1.0, 4.0, 3.0]).log())
    source = waves([500])
    found = reference(folder(kind), source.values[0], RATE)
    expected = (found.hidden_states[0] + 4 * found.hidden_states[1] + 3 * found.last_hidden_state) / 8
    assert_close(encoder(source).states, expected)


@torch.no_grad()
def test_whisper_hears_the_real_part_of_a_window_padded_with_silence(folder: Folder) -> None:
    encoder = WhisperEncoder(16_000, folder("whisper")).eval()
    source = waves([16_500, 9_000])
    memory = encoder(source)
    assert memory.lengths.tolist() == [52, 29]  # 16,500 / 320 = 51.6 and 9,000 / 320 = 28.1
    short = reference(folder("whisper"), source.values[1, :9_000], 16_000).last_hidden_state[0]
    assert_close(memory.states[1, :29], short[:29])
    first, second = (reference(folder("whisper"), source.values[0, part], 16_000).last_hidden_state[0]
                     for part in (slice(0, 16_000), slice(16_000, None)))  # fmt: skip
    assert_close(memory.states[0], torch.cat([first, second[:2]]))


def test_whispers_log_mel_is_that_of_transformers() -> None:
    extractor = transformers.WhisperFeatureExtractor(feature_size=80)
    wave = waves([48_000]).values
    expected = extractor(wave[0].numpy(), sampling_rate=16_000, return_tensors="pt").input_features
    window = torch.nn.functional.pad(wave, (0, 480_000 - 48_000))
    assert_close(WhisperLogMel(extractor.to_dict())(window), expected)


# Lengths


def test_lengths_in_states(folder: Folder) -> None:
    encoder = PretrainedSpeechEncoder(RATE, folder("wav2vec2-layer"))
    # 900 samples: (900 - 10) / 5 + 1 = 179, then (179 - 3) / 2 + 1 = 89, then (89 - 2) / 2 + 1 = 44
    assert encoder.output_lengths(torch.tensor([900, 30, 29, 0])).tolist() == [44, 1, 0, 0]
    assert (encoder.least(), encoder.subsampling, encoder.seconds_per_state) == (30, 20, 20 / RATE)
    assert encoder(waves([900, 30])).lengths.tolist() == [44, 1]


def test_what_is_too_short_or_no_sound_is_refused(folder: Folder) -> None:
    encoder = PretrainedSpeechEncoder(RATE, folder("wav2vec2-layer"))
    with pytest.raises(DataError, match=r"29 samples.*at least 30"):
        encoder(waves([900, 29]))
    with pytest.raises(DataError, match=r"0 samples.*at least 1"):
        WhisperEncoder(16_000, folder("whisper"))(waves([900, 0]))
    with pytest.raises(ConfigError, match="reads samples"):
        encoder(FrameBatch(torch.zeros(1, 4, 3), torch.tensor([4])))


# Training


def moved(encoder: PretrainedSpeechEncoder, steps: range) -> set[str]:
    """Which parameters AdamW moves, weight decay included, in those updates."""
    before = {name: value.detach().clone() for name, value in encoder.named_parameters()}
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.5)
    for step in steps:
        encoder.pretrained.set_step(step)
        optimizer.zero_grad()
        encoder(waves([900, 640])).states.square().sum().backward()
        optimizer.step()
    return {name for name, value in encoder.named_parameters() if not torch.equal(value, before[name])}


def test_frozen_up_to_an_update(folder: Folder) -> None:
    options: dict[str, Any] = {"layers": "weighted", "freeze": True, "unfreeze_at": 2}
    encoder = PretrainedSpeechEncoder(RATE, folder("wav2vec2-layer"), **options).train()
    assert moved(encoder, range(2)) == {"pretrained.mixture"}
    assert not encoder.pretrained.model.training
    after = moved(encoder, range(2, 4))
    assert encoder.pretrained.model.training
    assert "pretrained.model.encoder.layers.1.attention.q_proj.weight" in after
    assert not any("feature_extractor" in name or "masked_spec_embed" in name for name in after)


def test_frozen_for_ever_has_nothing_to_train(folder: Folder) -> None:
    encoder = PretrainedSpeechEncoder(RATE, folder("wav2vec2-layer"), freeze=True).train()
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    source = waves([900])
    assert_close(encoder(source).states, encoder(source).states)  # no dropout, no masks


def test_masks_are_drawn_in_training_by_torchs_generator(folder: Folder) -> None:
    encoder = PretrainedSpeechEncoder(RATE, folder("wavlm-layer"), mask_prob=0.5, mask_length=3).train()
    source = waves([900])

    def states(seed: int) -> Tensor:
        torch.manual_seed(seed)
        with torch.no_grad():
            found: Tensor = encoder(source).states
        return found

    assert torch.equal(states(1), states(1))
    assert not torch.allclose(states(1), states(2), atol=1e-3)


def test_spans() -> None:
    torch.manual_seed(0)
    masked = spans((200, 400), 0.2, 10, torch.device("cpu"))
    # A state is masked unless none of the 10 places that would cover it begins a span.
    assert float(masked[:, 10:].float().mean()) == pytest.approx(1 - (1 - 0.02) ** 10, abs=0.01)
    edges = torch.nn.functional.pad(masked.long(), (1, 1)).diff()
    runs = (edges == -1).nonzero()[:, 1] - (edges == 1).nonzero()[:, 1]
    ends = (edges == -1).nonzero()[:, 1]
    assert int(runs[ends < 400].min()) == 10  # cut short at the end alone
    assert spans((2, 3), 0.5, 10, torch.device("cpu")).shape == (2, 3)


# Checkpoints of ours


@pytest.mark.parametrize("kind", ["wav2vec2-group", "whisper"])
@torch.no_grad()
def test_it_is_rebuilt_without_the_folder(kind: str, folder: Folder) -> None:
    kind_class, rate = (WhisperEncoder, 16_000) if kind == "whisper" else (PretrainedSpeechEncoder, RATE)
    encoder = kind_class(rate, folder(kind), layers="weighted").eval()
    options = yaml.safe_load(yaml.safe_dump(encoder.portable_options()))
    assert json.loads(json.dumps(options)) == options
    other = kind_class(rate, "gone", layers="weighted", **options).eval()
    source = waves([900, 640])
    with pytest.raises(CheckpointError, match="no weights were loaded"):
        other(source)
    torch.nn.ModuleDict({"encoder": other}).load_state_dict(
        {f"encoder.{name}": value for name, value in encoder.state_dict().items()}
    )
    assert_close(other(source).states, encoder(source).states)
    assert other.portable_options() == options


# What is refused


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"unfreeze_at": 3}, "unfreeze_at is 3.*freeze is false"),
        ({"freeze": True, "unfreeze_at": -1}, "unfreeze_at.*-1"),
        ({"layers": "first"}, "last or weighted.*first"),
        ({"mask_prob": 1.0}, r"mask_prob.*1\.0"),
        ({"mask_length": 0}, "mask_length.*0"),
        ({"architecture": {"model": "x"}}, "config and feature_extractor"),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(options: dict[str, Any], named: str, folder: Folder) -> None:
    with pytest.raises(ConfigError, match=named):
        PretrainedSpeechEncoder(RATE, folder("wav2vec2-layer"), **options)


def test_another_rate_is_refused_with_both_numbers(folder: Folder) -> None:
    with pytest.raises(ConfigError, match=r"8000 samples a second.*gives 16000"):
        PretrainedSpeechEncoder(16_000, folder("wav2vec2-layer"))
    with pytest.raises(ConfigError, match=r"16000 samples a second.*gives 8000"):
        WhisperEncoder(8_000, folder("whisper"))


def test_no_path_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"path is missing.*folder"):
        PretrainedSpeechEncoder(RATE)


def test_what_is_not_at_the_path_is_named(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match=r"no folder .*nowhere"):
        PretrainedSpeechEncoder(RATE, str(tmp_path / "nowhere"))
    with pytest.raises(CheckpointError, match=r"must hold config\.json"):
        PretrainedSpeechEncoder(RATE, str(tmp_path))
    with pytest.raises(CheckpointError, match=r"type whisper.*hubert, wav2vec2, wavlm"):
        PretrainedSpeechEncoder(RATE, folder("whisper"))
    with pytest.raises(CheckpointError, match=r"type wav2vec2.*whisper"):
        WhisperEncoder(16_000, folder("wav2vec2-layer"))

    def unreachable(path: str, **options: object) -> None:
        raise OSError("We couldn't connect to 'https://huggingface.co'\nmore")

    monkeypatch.setattr(transformers.PretrainedConfig, "get_config_dict", unreachable)
    with pytest.raises(CheckpointError, match=r"someone/model is no folder.*couldn't connect.*path of a folder"):
        PretrainedSpeechEncoder(RATE, "someone/model")


def test_missing_weights_are_not_made_up(folder: Folder, tmp_path: Path) -> None:
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text((Path(folder("hubert-layer")) / name).read_text())
    with pytest.raises(CheckpointError, match=r"must hold .*model\.safetensors"):
        PretrainedSpeechEncoder(RATE, str(tmp_path))
    from safetensors.torch import load_file, save_file

    weights = load_file(Path(folder("hubert-layer")) / "model.safetensors")
    rest = {name: value for name, value in weights.items() if not name.startswith("encoder.layers.1.")}
    save_file(rest, tmp_path / "model.safetensors", metadata={"format": "pt"})
    # Four maps of the attention and two of the feed-forward part, two norms: a matrix or scale and a bias each.
    with pytest.raises(CheckpointError, match=r"lacks 16 weights of HubertModel, encoder\.layers\.1"):
        PretrainedSpeechEncoder(RATE, str(tmp_path))

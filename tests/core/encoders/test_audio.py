from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from core.audio.frontend import FrontEnd, FrontEndOptions
from core.batch import Source
from core.encoders.audio import AudioEncoder
from core.encoders.base import Encoder, Memory
from core.errors import ConfigError
from core.masks import length_mask
from tests.contracts.encoder import EncoderContract
from tests.core.audio.sounds import speech_source


class PairEncoder(Encoder):
    """A state for each two frames: a linear map of both."""

    subsampling = 2

    def __init__(self, n_features: int, d_model: int = 6) -> None:
        super().__init__()
        self.d_model = d_model
        self.project = nn.Linear(2 * n_features, d_model)

    def forward(self, source: Source) -> Memory:
        even = source.values[:, : source.values.size(1) // 2 * 2]
        lengths = self.output_lengths(source.lengths)
        states = self.project(even.reshape(len(source), -1, 2 * even.size(2)))
        return Memory(states * length_mask(lengths, states.size(1)).unsqueeze(2), lengths)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        return lengths // 2


class WaveformEncoder(PairEncoder):
    reads_waveform = True


def audio_encoder(options: FrontEndOptions) -> AudioEncoder:
    frontend = FrontEnd(8000, options)
    if frontend.needs_statistics:
        frontend.fit_statistics([speech_source([1600, 900], 8000, seed=5)])
    return AudioEncoder(frontend, PairEncoder(frontend.n_features))


class TestAudioEncoder(EncoderContract):
    @pytest.fixture(autouse=True, params=["none", "utterance", "global"])
    def build(self, request: pytest.FixtureRequest) -> None:
        torch.manual_seed(0)
        self.encoder = audio_encoder(FrontEndOptions(n_mels=10, normalise=request.param))
        self.source = speech_source([1600, 900, 330], 8000)


def test_a_state_has_its_time() -> None:
    encoder = AudioEncoder(FrontEnd(8000, FrontEndOptions(n_mels=10, hop=12.5)), PairEncoder(10))
    assert encoder.seconds_per_state == pytest.approx(0.025)
    assert encoder.subsampling == 200  # samples: two hops of 12.5 ms at 8 kHz
    assert encoder.output_lengths(torch.tensor([0, 100, 101, 8000])).tolist() == [0, 0, 1, 40]


def test_an_encoder_of_samples_needs_no_frontend() -> None:
    with pytest.raises(ConfigError, match=r"WaveformEncoder reads samples.*leave the front-end out"):
        AudioEncoder(FrontEnd(8000, FrontEndOptions(n_mels=10)), WaveformEncoder(10))


def test_the_checkpoint_has_the_statistics_and_the_weights() -> None:
    encoder = audio_encoder(FrontEndOptions(n_mels=10, normalise="global"))
    assert sorted(encoder.state_dict()) == [
        "encoder.project.bias",
        "encoder.project.weight",
        "frontend.normaliser.mean",
        "frontend.normaliser.std",
    ]

"""The pyramidal encoder: the contract over a grid, and the paper's equation by torch's own layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from core.batch import FrameBatch
from core.decoders.recurrent import RecurrentDecoder
from core.encoders.pyramidal import PyramidalEncoder
from core.errors import ConfigError
from core.layers.padded_recurrent import PaddedRecurrence
from tests.contracts.encoder import FrameEncoderContract, assert_close, frame_source

GRID: list[dict[str, Any]] = [
    {},
    {"num_layers": 2, "num_pyramid_layers": 3, "cell": "gru", "init": "luong2015"},
    {"num_pyramid_layers": 0, "cell": "gru"},
]


class TestPyramidalEncoder(FrameEncoderContract):
    @pytest.fixture(autouse=True, params=GRID, ids=str)
    def build(self, request: pytest.FixtureRequest) -> None:
        self.encoder = PyramidalEncoder(5, d_model=8, **request.param)
        self.source = frame_source([13, 9, 4, 1], 5)


def equation_5(encoder: PyramidalEncoder, frames: Tensor) -> tuple[Tensor, Tensor]:
    """One utterance (S, F) by torch's layers, pairs made by hand: its states (S', D) and the top's last one (D,)."""
    x, hidden = frames, frames
    for index, layer in enumerate(encoder.layers):
        assert isinstance(layer, PaddedRecurrence)
        if index >= encoder.num_layers:
            if len(x) % 2:
                x = torch.cat([x, torch.zeros(1, x.size(1))])
            x = torch.stack([torch.cat([x[i], x[i + 1]]) for i in range(0, len(x), 2)])
        x, (hidden, _) = layer.layer(x)
    return x, hidden.flatten()


@torch.no_grad()
@pytest.mark.parametrize("lengths", [[8, 4], [7, 5, 1, 6]])
def test_each_pyramid_layer_reads_pairs_of_neighbours(lengths: list[int]) -> None:
    encoder = PyramidalEncoder(3, d_model=6, num_layers=2, num_pyramid_layers=2).eval()
    source = frame_source(lengths, 3)
    memory = encoder(source)
    for row, length in enumerate(lengths):
        states, final = equation_5(encoder, source.values[row, :length])
        assert_close(memory.states[row, : len(states)], states)
        assert_close(memory.final[0][-1, row], final)
        assert memory.lengths[row] == len(states) == -(-length // 4)


def test_it_ends_with_the_states_that_a_recurrent_decoder_starts_from() -> None:
    encoder = PyramidalEncoder(3, d_model=6, num_layers=1, num_pyramid_layers=2)
    memory = encoder(frame_source([9, 5], 3))
    assert [part.shape for part in memory.final] == [(3, 2, 6), (3, 2, 6)]
    decoder = RecurrentDecoder(7, 6, d_model=6, cell="lstm", num_layers=3, bridge="copy")
    assert decoder(torch.tensor([[1, 2], [1, 3]]), memory).shape == (2, 2, 7)


def test_dropout_stands_between_the_layers_only() -> None:
    source = frame_source([600], 3)
    lower = PyramidalEncoder(3, d_model=8, num_pyramid_layers=0, dropout=0.5).train()
    assert_close(lower(source).states, lower(source).states)
    upper = PyramidalEncoder(3, d_model=8, num_pyramid_layers=1, dropout=0.5).train()
    assert not torch.allclose(upper(source).states, upper(source).states, atol=1e-3)


def test_frames_of_half_precision_are_read_as_they_come() -> None:
    source = frame_source([6, 3], 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        memory = PyramidalEncoder(3, d_model=8)(FrameBatch(source.values.bfloat16(), source.lengths))
    assert memory.states.isfinite().all()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"d_model": 7}, "even.*7"),
        ({"num_layers": 0}, "num_layers.*0"),
        ({"num_pyramid_layers": -1}, r"num_pyramid_layers.*-1"),
        ({"cell": "lru"}, "rnn, gru, lstm.*lru"),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        PyramidalEncoder(3, **options)

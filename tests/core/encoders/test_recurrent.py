"""The recurrent encoder: the contract over a grid, and what is its own."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.batch import TextBatch
from core.encoders.recurrent import RecurrentEncoder
from core.errors import ConfigError
from tests.contracts.encoder import TextEncoderContract, assert_close, text_source

GRID: list[dict[str, Any]] = [
    {"cell": "rnn", "bidirectional": False},
    {"cell": "gru", "bidirectional": False, "reverse": True},
    {"cell": "lstm", "bidirectional": False, "num_layers": 2, "reverse": True, "init": "sutskever2014"},
    {"cell": "rnn", "num_layers": 2},
    {"cell": "gru", "embedding_size": 5},
    {"cell": "lstm", "num_layers": 4, "residual": True, "init": "luong2015"},
]


class TestRecurrentEncoder(TextEncoderContract):
    source = text_source([5, 3, 1, 4], vocab_size=17)

    @pytest.fixture(autouse=True, params=GRID, ids=str)
    def build(self, request: pytest.FixtureRequest) -> None:
        torch.manual_seed(0)
        self.encoder = RecurrentEncoder(17, 8, **request.param)


def one_by_one(encoder: RecurrentEncoder, tokens: list[int]) -> torch.Tensor:
    """The states of a one-layer LSTM by torch's cell, token after token: (S, D)."""
    layer = encoder.layers[0].layer
    cell = torch.nn.LSTMCell(encoder.embed.embedding_dim, encoder.d_model)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    cell.load_state_dict({name: getattr(layer, f"{name}_l0") for name in names})
    states, state = [], None
    for token in tokens:
        state = cell(encoder.embed(torch.tensor([token])), state)
        states.append(state[0])
    return torch.cat(states)


@torch.no_grad()
def test_reversal_reads_from_the_end_and_keeps_the_order_of_the_source() -> None:
    encoder = RecurrentEncoder(9, 4, cell="lstm", bidirectional=False, reverse=True).eval()
    memory = encoder(TextBatch(torch.tensor([[5, 6, 7, 0], [1, 2, 3, 4]]), torch.tensor([3, 4])))
    expected = one_by_one(encoder, [7, 6, 5])
    assert_close(memory.states[0, :3], expected.flip(0))
    assert_close(memory.final[0][0, 0], expected[-1])


@torch.no_grad()
def test_two_directions_end_at_the_last_and_at_the_first_token() -> None:
    encoder = RecurrentEncoder(9, 6, cell="gru", num_layers=2).eval()
    memory = encoder(text_source([4, 2], 9))
    hidden = memory.final[0]
    assert hidden.shape == (2, 2, 6)
    assert_close(hidden[1, :, :3], torch.stack([memory.states[0, 3, :3], memory.states[1, 1, :3]]))
    assert_close(hidden[1, :, 3:], memory.states[:, 0, 3:])


@torch.no_grad()
def test_only_an_lstm_ends_with_cell_states() -> None:
    source = text_source([4, 0], 9)
    for cell, parts in (("rnn", 1), ("gru", 1), ("lstm", 2)):
        final = RecurrentEncoder(9, 6, cell=cell, num_layers=3).eval()(source).final  # type: ignore[arg-type]
        assert [part.shape for part in final] == [(3, 2, 6)] * parts
        assert not any(part[:, 1].any() for part in final)


@torch.no_grad()
def test_residual_layers_add_their_input() -> None:
    torch.manual_seed(0)
    plain = RecurrentEncoder(9, 6, num_layers=2, residual=False).eval()
    residual = RecurrentEncoder(9, 6, num_layers=2, residual=True).eval()
    residual.load_state_dict(plain.state_dict())
    lower = RecurrentEncoder(9, 6, num_layers=1).eval()
    lower.load_state_dict(plain.state_dict(), strict=False)
    source = text_source([4, 3], 9)
    assert_close(residual(source).states, plain(source).states + lower(source).states)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"d_model": 7}, "even.*7"),
        ({"reverse": True, "bidirectional": True}, "reverse.*bidirectional"),
        ({"num_layers": 0}, "num_layers.*0"),
        ({"cell": "lru"}, "rnn, gru, lstm.*lru"),
        ({"init": "zeros"}, "glorot.*zeros"),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        RecurrentEncoder(9, **options)

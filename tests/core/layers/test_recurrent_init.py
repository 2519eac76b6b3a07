"""How recurrent weights begin."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.decoders.recurrent import RecurrentDecoder
from core.encoders.recurrent import RecurrentEncoder
from core.layers.alignment import AdditiveAlignment
from core.layers.recurrent_init import Init, initialise
from tests.contracts.encoder import assert_close


@pytest.mark.parametrize(("init", "limit"), [("sutskever2014", 0.08), ("luong2015", 0.1)])
def test_uniform_schemes_fill_everything_within_their_limit(init: Init, limit: float) -> None:
    torch.manual_seed(0)
    encoder = RecurrentEncoder(50, 32, cell="lstm", num_layers=2, init=init, forget_bias=0.0)
    values = nn.utils.parameters_to_vector(encoder.parameters()).detach()
    # The extremes of some ten thousand draws come within a hundredth of the limit.
    assert 0.99 * limit < float(values.max()) <= limit
    assert -limit <= float(values.min()) < -0.99 * limit


@pytest.mark.parametrize("init", ["glorot", "bahdanau2014"])
def test_recurrent_matrices_are_orthogonal_gate_by_gate(init: Init) -> None:
    layer = nn.GRU(6, 4)
    initialise(layer, init, 0.0)
    for gate in layer.get_parameter("weight_hh_l0").detach().view(3, 4, 4):
        assert_close(gate @ gate.T, torch.eye(4))
    assert not layer.get_parameter("bias_ih_l0").any()


def test_glorot_takes_each_gate_for_a_matrix() -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(64, 32)
    initialise(layer, "glorot", 0.0)
    limit = (6 / (64 + 32)) ** 0.5
    assert 0.99 * limit < float(layer.get_parameter("weight_ih_l0").detach().abs().max()) <= limit


def test_the_forget_bias_is_that_of_the_second_gate_in_both_directions() -> None:
    layer = nn.LSTM(4, 2, bidirectional=True)
    initialise(layer, "glorot", 1.0)
    for name in ("bias_hh_l0", "bias_hh_l0_reverse"):
        assert getattr(layer, name).tolist() == [0, 0, 1, 1, 0, 0, 0, 0]


def test_bahdanaus_alignment_begins_as_a_plain_mean() -> None:
    torch.manual_seed(0)
    alignment = AdditiveAlignment(40, 40)
    initialise(alignment, "bahdanau2014", 0.0)
    assert not alignment.energy.weight.any()
    assert abs(float(alignment.query.weight.detach().std()) - 0.001) < 0.0001


def test_a_tied_table_is_filled_once_as_an_embedding() -> None:
    torch.manual_seed(0)
    decoder = RecurrentDecoder(400, 64, 64, tie=True)
    assert decoder.head.get_parameter("projection.weight") is decoder.embedding.weight
    assert abs(float(decoder.embedding.weight.detach().std()) - 1 / 8) < 0.005

"""The recurrent decoder: the contract over a grid, and what is its own."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch

from core.decoders.recurrent import RecurrentDecoder
from core.errors import ConfigError
from core.layers.location import LocationOptions
from tests.contracts.decoder import DecoderContract, random_memory
from tests.contracts.encoder import assert_close

SUTSKEVER: dict[str, Any] = {"cell": "lstm", "num_layers": 3, "attention": "none", "bridge": "copy"}
BAHDANAU: dict[str, Any] = {"attention": "additive", "order": "bahdanau", "bridge": "backward"}
LUONG: dict[str, Any] = {"cell": "lstm", "num_layers": 2, "attention": "general", "input_feeding": True}
CHOROWSKI: dict[str, Any] = {**BAHDANAU, "attention": "location", "location": LocationOptions(filters=4, width=5)}
XU: dict[str, Any] = {"cell": "lstm", "attention": "additive", "order": "bahdanau", "context_gate": True}
GRID: list[dict[str, Any]] = [
    SUTSKEVER,
    BAHDANAU,
    LUONG,
    {**SUTSKEVER, "residual": True, "init": "sutskever2014"},
    {**BAHDANAU, "num_layers": 2, "cell": "lstm", "embedding_size": 5},
    {**LUONG, "bridge": "copy", "attention": "dot", "residual": True, "init": "luong2015"},
    {"attention": "none", "cell": "rnn"},
    CHOROWSKI,
    XU,
    {**CHOROWSKI, "num_layers": 2, "context_gate": True},
    {"attention": "location", "cell": "lstm", "location": LocationOptions(3, 9, cumulative=True, sharpening=2.0)},
    {**LUONG, "attention": "location", "location": LocationOptions(3, 1, smoothing=True)},
    *(
        {"cell": cell, "attention": attention, "input_feeding": feeding, "tie": feeding}
        for cell, attention, feeding in itertools.product(
            ("rnn", "gru", "lstm"), ("additive", "dot", "general"), (False, True)
        )
    ),
]


def matching_memory(lengths: list[int], options: dict[str, Any]) -> Any:
    """A memory as the encoder of the same cell and depth gives it."""
    parts = 2 if options.get("cell") == "lstm" else 1
    return random_memory(lengths, 8, parts, options.get("num_layers", 1))


class TestRecurrentDecoder(DecoderContract):
    @pytest.fixture(autouse=True, params=GRID, ids=str)
    def build(self, request: pytest.FixtureRequest) -> None:
        torch.manual_seed(0)
        self.decoder = RecurrentDecoder(17, 8, 8, **request.param)
        self.memory = matching_memory([5, 3, 1], request.param)
        self.attends = request.param["attention"] != "none"


class TestRecurrentDecoderOfATransformer(DecoderContract):
    """The encoder gives no last states, and its width is another one."""

    memory = random_memory([5, 3, 1], 6)

    @pytest.fixture(autouse=True, params=["lstm", "gru"])
    def build(self, request: pytest.FixtureRequest) -> None:
        torch.manual_seed(0)
        self.decoder = RecurrentDecoder(17, 6, 8, cell=request.param, num_layers=2)


@torch.no_grad()
def test_without_attention_it_is_torchs_lstm_from_the_encoders_last_state() -> None:
    decoder = RecurrentDecoder(9, 8, 8, **{**SUTSKEVER, "num_layers": 2}).eval()
    memory = random_memory([4, 2], 8, final=2, num_layers=2)
    reference = torch.nn.LSTM(8, 8, 2, batch_first=True)
    reference.load_state_dict(
        {
            f"{name[:-1]}{depth}": value
            for depth in (0, 1)
            for name, value in decoder.stack.layers[depth].state_dict().items()
        }
    )
    tokens = torch.tensor([[1, 5, 3], [1, 2, 8]])
    expected, _ = reference(decoder.embedding(tokens), (memory.final[0], memory.final[1]))
    assert_close(decoder.features(tokens, memory), expected)


@torch.no_grad()
def test_bahdanaus_step_follows_the_papers_equations() -> None:
    decoder = RecurrentDecoder(9, 8, 4, **BAHDANAU).eval()
    memory = random_memory([3], 8, final=1)
    states, align, layer = memory.states[0], decoder.alignment, decoder.stack.layers[0]
    assert decoder.feed is not None
    state = torch.tanh(decoder.bridge.project[0](memory.final[0][0, :, 4:]))
    expected = []
    for token in (1, 7):
        embedded = decoder.embedding(torch.tensor([token]))
        energies = [align.energy(torch.tanh(align.query(state[0]) + align.memory(each))) for each in states]  # type: ignore[operator, union-attr]
        weights = torch.cat(energies).softmax(0)
        context = (weights.unsqueeze(1) * states).sum(0, keepdim=True)
        cell = torch.nn.GRUCell(12, 4)
        cell.weight_ih.copy_(torch.cat([layer.weight_ih_l0, decoder.feed.weight], 1))  # type: ignore[list-item]
        for name in ("weight_hh", "bias_ih", "bias_hh"):
            getattr(cell, name).copy_(getattr(layer, f"{name}_l0"))
        state = cell(torch.cat([embedded, context], 1), state)
        pairs = decoder.readout.combine(torch.cat([state, embedded, context], 1))  # type: ignore[operator]
        expected.append(pairs.view(2, 4).max(0).values)
    assert_close(decoder.features(torch.tensor([[1, 7]]), memory)[0], torch.stack(expected))


@torch.no_grad()
def test_the_gate_scales_the_context_by_what_the_state_before_says() -> None:
    """A gate that is shut or open whatever the state says, and one of two states that it tells apart."""
    decoder = RecurrentDecoder(9, 8, 4, **XU).eval()
    memory, tokens = random_memory([3], 8, final=2), torch.tensor([[1, 7]])
    assert decoder.gate is not None
    decoder.gate.weight.zero_()
    decoder.gate.bias.fill_(-100.0)
    nothing = replace(memory, states=torch.zeros_like(memory.states))
    assert_close(decoder.features(tokens, memory), decoder.features(tokens, nothing))
    decoder.gate.bias.fill_(100.0)
    ungated = RecurrentDecoder(9, 8, 4, **{**XU, "context_gate": False}).eval()
    ungated.load_state_dict(decoder.state_dict(), strict=False)
    assert_close(decoder.features(tokens, memory), ungated.features(tokens, memory))
    # Xu et al. 2015, section 4.2.1: beta = sigmoid(f(h)), of the state before the token.
    decoder.gate.weight.copy_(torch.tensor([[1.0, -2.0, 0.5, 3.0]]))
    decoder.gate.bias.fill_(0.25)
    state = decoder.start(memory)
    before = state.hidden[-1][0][0]
    beta = torch.sigmoid(before[0] - 2 * before[1] + 0.5 * before[2] + 3 * before[3] + 0.25)
    gated, open_ = decoder.attend(before[None], state), ungated.attend(before[None], state)
    assert gated is not None
    assert open_ is not None
    assert_close(gated.context, beta * open_.context)
    assert_close(gated.weights, open_.weights)


@torch.no_grad()
def test_luongs_step_follows_the_papers_equations() -> None:
    decoder = RecurrentDecoder(9, 4, 4, cell="rnn", attention="dot", input_feeding=True, bridge="copy").eval()
    memory = random_memory([3], 4, final=1)
    states, layer = memory.states[0], decoder.stack.layers[0]
    assert decoder.feed is not None
    hidden, vector, expected, looks = memory.final[0][0, 0], torch.zeros(4), [], []
    for token in (1, 7):
        entering = layer.weight_ih_l0 @ decoder.embedding.weight[token] + decoder.feed.weight @ vector  # type: ignore[operator]
        hidden = torch.tanh(entering + layer.bias_ih_l0 + layer.weight_hh_l0 @ hidden + layer.bias_hh_l0)  # type: ignore[operator]
        looks.append((states @ hidden).softmax(0))
        context = looks[-1] @ states
        vector = torch.tanh(decoder.readout.combine.weight @ torch.cat([context, hidden]))  # type: ignore[operator, union-attr]
        expected.append(vector)
    tokens = torch.tensor([[1, 7]])
    assert_close(decoder.features(tokens, memory)[0], torch.stack(expected))
    weights = decoder.attention(tokens, memory)
    assert weights is not None
    assert_close(weights[0, 0], torch.stack(looks))


@torch.no_grad()
def test_attention_to_a_source_of_no_length_is_zero() -> None:
    memory = random_memory([3, 0], 8, final=1)
    weights = RecurrentDecoder(9, 8, 8).eval().attention(torch.tensor([[1, 2], [1, 2]]), memory)
    assert weights is not None
    assert weights[1].tolist() == [[[0.0] * 3] * 2]
    assert_close(weights[0].sum(-1), torch.ones(1, 2))


@torch.no_grad()
def test_memories_are_kept_once_a_source() -> None:
    decoder = RecurrentDecoder(9, 8, 8).eval()
    state = decoder.start(random_memory([3, 2], 8, final=1)).reorder(torch.tensor([0, 0, 0, 1, 1, 1]))
    _, state = decoder.step(torch.arange(6), state)
    assert state.memory is not None
    assert len(state.memory.keys) == len(state.memory.values) == len(state.memory.bias) == 2
    assert [len(part) for layer in state.hidden for part in layer] == [6]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"attention": "dot", "bridge": "project"}, "d_model is 8.*width is 6.*general"),
        ({"bridge": "copy"}, "d_model is 8.*width is 6.*project"),
        ({"attention": "none", "input_feeding": True}, "attention is none.*input_feeding is True"),
        ({"attention": "none", "order": "bahdanau"}, "attention is none.*order is bahdanau"),
        ({"order": "bahdanau", "input_feeding": True}, "input_feeding.*order: luong"),
        ({"attention": "multiplicative"}, "additive, dot, general, location or coverage.*multiplicative"),
        ({"attention": "additive", "location": LocationOptions(width=5)}, "attention is additive.*attention: location"),
        ({"context_gate": True}, "context_gate is true, but order is luong.*order: bahdanau"),
        ({"order": "first"}, "luong or bahdanau.*first"),
        ({"bridge": "none"}, "copy, project or backward.*none"),
        ({"tie": True, "embedding_size": 5}, "width 8.*width 5"),
        ({"num_layers": 0}, "num_layers.*0"),
        ({"cell": "lru"}, "rnn, gru, lstm.*lru"),
    ],
)
def test_options_that_cannot_work_are_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        RecurrentDecoder(9, 6, 8, **options)


def test_a_bridge_that_lacks_the_encoders_last_states_says_so() -> None:
    memory = random_memory([3, 2], 8, final=1, num_layers=2)
    with pytest.raises(ConfigError, match=r"2 states in each of 3 layers.*1 states in 2 layers.*project"):
        RecurrentDecoder(9, 8, 8, **SUTSKEVER).start(memory)
    with pytest.raises(ConfigError, match=r"backward.*project"):
        RecurrentDecoder(9, 8, 8, **BAHDANAU).start(replace(memory, final=()))

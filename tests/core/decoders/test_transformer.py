from __future__ import annotations

import pytest
import torch

from core.decoders.transformer import INITIAL_CAPACITY, TransformerDecoder, TransformerState
from core.errors import ConfigError
from core.layers.feed_forward import Activation
from core.layers.positions import Positions
from core.layers.transformer import Norm
from tests.contracts.decoder import DecoderContract, random_memory
from tests.contracts.encoder import assert_close

GRID: list[tuple[Norm, Positions, Activation, int, bool]] = [
    ("pre", "sinusoidal", "relu", 8, True),
    ("post", "learned", "gelu", 8, False),
    ("pre", "rotary", "swiglu", 6, True),
    ("post", "none", "silu", 12, False),
]


class TestTransformerDecoder(DecoderContract):
    @pytest.fixture(autouse=True, params=GRID, ids=lambda kind: "-".join(map(str, kind)))
    def build(self, request: pytest.FixtureRequest) -> None:
        norm, positions, activation, memory_size, tie = request.param
        torch.manual_seed(0)
        self.decoder = TransformerDecoder(
            19,
            memory_size,
            d_model=8,
            num_layers=2,
            num_heads=2,
            ffn_size=16,
            norm=norm,
            positions=positions,
            activation=activation,
            tie=tie,
        )
        self.memory = random_memory([5, 3, 1, 2], memory_size)

    def test_caches_grow(self) -> None:
        tokens = self.tokens(len(self.memory.lengths), size=2 * INITIAL_CAPACITY + 1)
        assert_close(self.decode_by_step(tokens, self.memory), self.decode(tokens, self.memory))

    def test_attention_is_by_layer(self) -> None:
        assert self.decoder.attention(self.tokens(4), self.memory).shape == (4, 2, 6, 5)  # type: ignore[union-attr]


def small(tie: bool = True) -> TransformerDecoder:
    torch.manual_seed(0)
    return TransformerDecoder(19, 8, d_model=8, num_layers=2, num_heads=2, ffn_size=16, tie=tie).eval()


def test_what_depends_on_the_source_is_kept_once_a_source() -> None:
    decoder = small()
    state = decoder.start(random_memory([5, 3], 8))
    beams = state.reorder(torch.tensor([0, 0, 0, 1, 1, 1]))
    assert beams.past.size(2) == 6
    assert beams.memory.data_ptr() == state.memory.data_ptr()
    assert beams.memory.shape == (2, 2, 2, 2, 5, 4)  # layers, keys and values, sources, heads, length, width


def test_reordering_by_identity_copies_nothing() -> None:
    state = small().start(random_memory([5, 3], 8))
    assert state.reorder(torch.arange(2), torch.arange(2)) is state


@torch.no_grad()
def test_reordering_takes_turns_with_two_buffers() -> None:
    decoder = small()
    state = decoder.start(random_memory([5, 3], 8)).reorder(torch.tensor([0, 0, 1, 1]))
    buffers: set[int] = set()
    for _ in range(6):
        _, state = decoder.step(torch.arange(4), state)
        state = state.reorder(torch.tensor([1, 0, 3, 2]))
        assert isinstance(state, TransformerState)
        buffers.add(state.past.data_ptr())
    assert len(buffers) == 2


def test_the_tied_head_is_the_embedding() -> None:
    tied, free = small(tie=True), small(tie=False)
    assert tied.head.get_parameter("projection.weight") is tied.embedding.weight
    assert free.head.get_parameter("projection.weight") is not free.embedding.weight


@pytest.mark.parametrize("options", [{"d_model": 10, "num_heads": 4}, {"positions": "relative"}, {"norm": "both"}])
def test_what_does_not_fit_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        TransformerDecoder(17, 8, **options)  # type: ignore[arg-type]


@torch.no_grad()
def test_a_target_beyond_the_learned_positions_is_refused() -> None:
    decoder = TransformerDecoder(17, 8, d_model=8, num_layers=1, positions="learned", max_positions=2)
    state = decoder.start(random_memory([3], 8))
    for _ in range(2):
        _, state = decoder.step(torch.tensor([1]), state)
    with pytest.raises(ConfigError, match=r"model\.decoder\.max_positions=2"):
        decoder.step(torch.tensor([1]), state)

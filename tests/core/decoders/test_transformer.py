from __future__ import annotations

import pytest
import torch

from core.decoders.base import DecoderState
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


def started(beams: int) -> tuple[TransformerDecoder, TransformerState]:
    decoder = small()
    state = decoder.start(random_memory([5, 3], 8))
    return decoder, state.reorder(torch.arange(2).repeat_interleave(beams))


def test_what_depends_on_the_source_is_kept_once_a_source() -> None:
    _, state = started(beams=3)
    assert state.ancestry.shape[:2] == (2, 3)
    assert state.memory.shape == (2, 2, 2, 2, 5, 4)  # layers, keys and values, sources, heads, length, width


@torch.no_grad()
def test_exchanging_rows_moves_no_keys_and_values() -> None:
    decoder, state = started(beams=3)
    buffer = state.past.data_ptr()
    for _ in range(5):
        _, state = decoder.step(torch.arange(6), state)
        state = state.reorder(torch.tensor([2, 0, 0, 3, 5, 5]))
        assert state.past.data_ptr() == buffer


@torch.no_grad()
def test_what_no_row_descends_from_is_left_out() -> None:
    decoder, state = started(beams=4)
    slots = []
    for _ in range(100):
        _, state = decoder.step(torch.arange(8), state)
        state = state.reorder(torch.tensor([0, 0, 0, 0, 4, 4, 4, 4]))  # one path, and no other branch
        slots.append(state.past.size(4))
    assert state.ancestry.sum(2).tolist() == [[100] * 4] * 2
    assert max(slots) <= 2 * (100 + 4)  # and not 400


@torch.no_grad()
def test_a_long_search_equals_reading_its_histories_at_once() -> None:
    """Beams that die and multiply at random, sources that leave, through many growths of the caches."""
    torch.manual_seed(0)
    decoder = small()
    memory = random_memory([5, 3, 4], 8)
    state: DecoderState = decoder.start(memory).reorder(torch.arange(3).repeat_interleave(4))
    history, sources = torch.zeros(12, 0, dtype=torch.int64), torch.arange(3)
    for time in range(90):
        tokens = torch.randint(0, 19, (len(history),))
        logits, state = decoder.step(tokens, state)
        history = torch.cat([history, tokens.unsqueeze(1)], dim=1)
        if time % 7 == 0 or time == 89:
            rows = sources.repeat_interleave(4)
            assert_close(logits, decoder(history, memory.select(rows))[:, -1])
        kept = torch.tensor([2, 0]) if time == 40 else torch.arange(len(sources))
        parents = (4 * kept.unsqueeze(1) + torch.randint(0, 4, (len(kept), 4))).flatten()
        state, history, sources = state.reorder(parents, kept if time == 40 else None), history[parents], sources[kept]


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

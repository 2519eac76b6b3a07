from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from core.batch import TextBatch
from core.encoders.base import Encoder
from core.errors import ConfigError
from tasks.qa.attentive_encoder import AttentiveEncoder, weighted
from tasks.qa.story_encoder import StoryEncoder
from tests.contracts.encoder import assert_close, assert_gradients

ENCODERS: dict[str, Callable[[], Encoder]] = {
    "story": lambda: StoryEncoder(30, d_model=16, num_steps=3, num_heads=2, ffn_size=16, dropout=0.0, max_words=4),
    "attentive": lambda: AttentiveEncoder(30, d_model=16, num_layers=2, embedding_size=12, dropout=0.0),
}
LONG = ([1, 5, 6, 2, 7, 8, 9, 10, 11, 12, 7, 2], [0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 0])
SHORT = ([1, 13, 2, 14, 15, 2], [0, 0, 0, 1, 2, 0])
EMPTY = ([1, 13, 2, 2], [0, 0, 0, 0])  # a context of nothing


def batch(*rows: tuple[list[int], list[int]], padding: int = 0) -> TextBatch:
    """Rows side by side; the padding is a token and a part that would show."""
    lengths = [len(tokens) for tokens, _ in rows]
    size = max(lengths) + padding
    values, parts = (torch.full((len(rows), size), filler) for filler in (7, 5))
    for row, (tokens, segments) in enumerate(rows):
        values[row, : len(tokens)], parts[row, : len(tokens)] = torch.tensor(tokens), torch.tensor(segments)
    return TextBatch(values, torch.tensor(lengths), parts)


@pytest.fixture(params=sorted(ENCODERS))
def encoder(request: pytest.FixtureRequest) -> Encoder:
    torch.manual_seed(0)
    return ENCODERS[request.param]().eval()


def test_states_depend_on_neither_padding_nor_neighbours(encoder: Encoder) -> None:
    together = encoder(batch(LONG, SHORT, EMPTY, padding=3))
    for row, source in enumerate((LONG, SHORT, EMPTY)):
        alone = encoder(batch(source))
        length = int(alone.lengths)
        assert int(together.lengths[row]) == length == alone.states.size(1)
        assert_close(together.states[row, :length], alone.states[0])
        assert not together.states[row, length:].any()
        assert alone.states.size(2) == encoder.d_model


def test_all_weights_learn(encoder: Encoder) -> None:
    states = encoder(batch(LONG, SHORT)).states
    (states * torch.randn_like(states)).sum().backward()
    assert_gradients(encoder)


def test_the_question_matters_to_the_context(encoder: Encoder) -> None:
    other = ([1, 20, 6, 2, *LONG[0][4:]], LONG[1])
    assert not torch.allclose(encoder(batch(LONG)).states[0, -2], encoder(batch(other)).states[0, -2], atol=1e-4)


def test_sources_without_parts_are_refused(encoder: Encoder) -> None:
    source = batch(LONG)
    with pytest.raises(ConfigError, match=r"tasks\.qa's data"):
        encoder(TextBatch(source.values, source.lengths))


def test_a_story_has_a_state_for_the_question_and_each_sentence() -> None:
    assert ENCODERS["story"]()(batch(LONG, SHORT, EMPTY)).lengths.tolist() == [4, 3, 1]


def test_the_order_of_sentences_and_of_words_matters() -> None:
    torch.manual_seed(0)
    encoder = StoryEncoder(30, d_model=16, num_steps=2, num_heads=2, ffn_size=16, dropout=0.0).eval()
    swapped = ([1, 5, 6, 2, 10, 11, 12, 7, 8, 9, 7, 2], LONG[1])
    turned = ([1, 5, 6, 2, 9, 8, 7, 10, 11, 12, 7, 2], LONG[1])
    question = encoder(batch(LONG)).states[0, 0]
    for other in (swapped, turned):
        assert not torch.allclose(question, encoder(batch(other)).states[0, 0], atol=1e-5)


def test_weights_are_a_softmax_over_what_is_asked() -> None:
    queries, keys, values = torch.tensor([[[2.0]]]), torch.tensor([[[1.0], [3.0], [9.0]]]), torch.eye(3).unsqueeze(0)
    mask = torch.tensor([[True, True, False]])
    expected = torch.softmax(torch.tensor([2.0, 6.0]), 0)
    torch.testing.assert_close(weighted(queries, keys, values, mask), torch.tensor([[[*expected.tolist(), 0.0]]]))


def test_tokens_of_the_question_are_marked() -> None:
    encoder = AttentiveEncoder(30, d_model=8)
    source = batch(([1, 5, 6, 2, 9, 6, 7, 2], [0, 0, 0, 0, 1, 1, 1, 0]))
    asked = torch.tensor([[True, True, True, True, False, False, False, False]])
    found = encoder._matches(source.values, asked)
    assert found.tolist() == [[True, True, True, True, False, True, False, True]]


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: StoryEncoder(9, d_model=15), "d_model must be even"),
        (lambda: StoryEncoder(9, num_steps=0), "num_steps must be at least 1"),
        (lambda: AttentiveEncoder(9, d_model=15), "d_model must be even"),
        (lambda: AttentiveEncoder(9, num_layers=0), "num_layers must be at least 1"),
    ],
)
def test_sizes_that_can_t_be(make: Callable[[], Encoder], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        make()

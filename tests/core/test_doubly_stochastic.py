from __future__ import annotations

import pytest
import torch

from core.batch import shift_right
from core.decoders.recurrent import RecurrentDecoder
from core.doubly_stochastic import DoublyStochastic, unevenness
from core.errors import ConfigError
from core.objectives import CrossEntropy
from core.seq2seq import EncoderDecoder
from tests.core.test_objectives import D_MODEL, SPECIALS, TYPES, make_batch, make_model


def test_unevenness_by_hand() -> None:
    """Two examples. The first looks 0.5 + 0.25 at one place and 0.5 + 0.75 at the other: 0.25^2 + 0.25^2 = 0.125.

    The second has one token, all on its one place: 0; its second row and its second place aren't there.
    """
    weights = torch.tensor([[[0.5, 0.5], [0.25, 0.75]], [[1.0, 0.0], [0.9, 0.1]]])
    is_place = torch.tensor([[True, True], [True, False]])
    assert unevenness(weights, torch.tensor([2, 1]), is_place).item() == pytest.approx(0.125)
    # With the second token the place has received 1.9: 0.81 more.
    assert unevenness(weights, torch.tensor([2, 2]), is_place).item() == pytest.approx(0.125 + 0.81)
    # With the second place too, (1 - 0.1)^2 more.
    assert unevenness(weights, torch.tensor([2, 2]), is_place.new_ones(2, 2)).item() == pytest.approx(0.125 + 2 * 0.81)


def test_the_gradient_evens_attention_out() -> None:
    weights = torch.tensor([[[0.9, 0.1], [0.7, 0.3]]], requires_grad=True)
    unevenness(weights, torch.tensor([2]), torch.ones(1, 2, dtype=torch.bool)).backward()  # type: ignore[no-untyped-call]
    # d/d alpha of (1 - 1.6)^2 is 2 * 0.6 at the first place, of (1 - 0.4)^2 it is -2 * 0.6 at the second.
    assert weights.grad is not None
    torch.testing.assert_close(weights.grad, torch.tensor([[[1.2, -1.2], [1.2, -1.2]]]))


def test_it_is_cross_entropy_and_the_weighted_part() -> None:
    model, batch = make_model("recurrent"), make_batch()
    assert batch.target is not None
    plain = CrossEntropy(0.1)(model, batch, SPECIALS, 0)
    loss = DoublyStochastic(0.5, label_smoothing=0.1)(model, batch, SPECIALS, 0)
    looks = model.decoder.attention(shift_right(batch.target.values, SPECIALS.bos), model.encode(batch.source))
    assert looks is not None
    expected = sum(
        (1 - looks[row, 0, :length, place].sum()) ** 2
        for row, length in enumerate(batch.target.lengths.tolist())
        for place in range(int(batch.source.lengths[row]))
    )
    torch.testing.assert_close(loss.parts["doubly_stochastic"], expected)
    torch.testing.assert_close(loss.total, plain.total + 0.5 * loss.parts["doubly_stochastic"])
    torch.testing.assert_close(loss.nll, plain.nll)
    assert loss.tokens == plain.tokens


def test_the_target_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = make_model("recurrent"), make_batch()
    assert isinstance(model.decoder, RecurrentDecoder)
    reads, read = [], model.decoder.read
    monkeypatch.setattr(model.decoder, "read", lambda *given: reads.append(1) or read(*given))  # type: ignore[func-returns-value]
    DoublyStochastic()(model, batch, SPECIALS, 0).total.backward()
    assert reads == [1]
    assert model.decoder.alignment is not None
    assert all(each.grad is not None and each.grad.any() for each in model.decoder.alignment.parameters())


def test_decoders_without_such_weights_are_refused() -> None:
    batch = make_batch()
    with pytest.raises(ConfigError, match=r"got TransformerDecoder: choose.*CrossEntropy"):
        DoublyStochastic()(make_model("transformer"), batch, SPECIALS, 0)
    blind = EncoderDecoder(make_model("recurrent").encoder, RecurrentDecoder(TYPES, D_MODEL, D_MODEL, attention="none"))
    with pytest.raises(ConfigError, match="got RecurrentDecoder with attention: none"):
        DoublyStochastic()(blind, batch, SPECIALS, 0)
    with pytest.raises(ConfigError, match=r"objective\.weight.*-1"):
        DoublyStochastic(-1)

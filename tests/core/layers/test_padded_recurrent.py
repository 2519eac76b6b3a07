from __future__ import annotations

import pytest
import torch

from core.layers.padded_recurrent import PaddedRecurrence
from core.layers.recurrent import Cell
from core.masks import length_mask

LENGTHS = torch.tensor([4, 9, 1, 6])


@pytest.mark.parametrize(
    ("cell", "bidirectional"), [("lstm", True), ("gru", True), ("lstm", False), ("gru", False), ("rnn", False)]
)
def test_it_equals_packed_sequences_in_states_and_gradients(cell: Cell, bidirectional: bool) -> None:
    layer = PaddedRecurrence(cell, 3, 4, bidirectional)
    assert layer.holds
    x = torch.randn(4, 9, 3).masked_fill(~length_mask(LENGTHS, 9).unsqueeze(2), 50.0)
    results = []
    for run in (layer.packed, layer.held):
        inputs = x.clone().requires_grad_()
        states, final = run(inputs, LENGTHS)
        loss = states.pow(3).sum() + torch.stack(final).pow(3).sum()
        gradients = torch.autograd.grad(loss, [inputs, *layer.parameters()])
        results.append([states, *final, *gradients])
    assert len(results[0]) == (3 if cell == "lstm" else 2) + 1 + (8 if bidirectional else 4)
    torch.testing.assert_close(results[1], results[0], atol=1e-5, rtol=1e-5)


def test_a_plain_cell_that_reads_from_both_ends_is_packed() -> None:
    assert not PaddedRecurrence("rnn", 3, 4).holds


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@torch.no_grad()
def test_padding_holds_the_state_in_half_precision_too(cell: Cell) -> None:
    layer, x = PaddedRecurrence(cell, 3, 4), torch.randn(4, 9, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states, final = layer(x, LENGTHS)
        for row, length in enumerate(LENGTHS.tolist()):
            alone, last = layer(x[row : row + 1, :length], LENGTHS[row : row + 1])
            torch.testing.assert_close(states[row : row + 1, :length], alone, atol=0.02, rtol=0.02)
            torch.testing.assert_close([part[row : row + 1] for part in final], list(last), atol=0.02, rtol=0.02)
            assert not states[row, length:].any()

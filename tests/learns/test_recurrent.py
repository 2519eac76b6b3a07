"""The recurrent line learns: a GRU with additive attention writes its source backwards."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from core.batch import TextBatch, shift_right
from core.decoders.recurrent import RecurrentDecoder
from core.encoders.recurrent import RecurrentEncoder
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials
from tests.contracts.encoder import text_source

SPECIALS = Specials()
TYPES = 12


def backwards(source: TextBatch) -> torch.Tensor:
    """The target: each row's tokens from last to first, end token, padding."""
    size = source.values.size(1)
    rows = [
        [*reversed(row[:length]), SPECIALS.eos, *[SPECIALS.pad] * (size - length)]
        for row, length in zip(source.values.tolist(), source.lengths.tolist(), strict=True)
    ]
    return torch.tensor(rows)


def batch(seed: int) -> tuple[TextBatch, torch.Tensor]:
    """64 random sources of 3 to 8 tokens, none of them special, and their targets."""
    lengths = torch.randint(3, 9, (64,), generator=torch.Generator().manual_seed(seed)).tolist()
    source = text_source(lengths, TYPES - 3, seed)
    shifted = source.values + 3 * (source.values > 0)
    source = TextBatch(shifted, source.lengths)
    return source, backwards(source)


def test_a_gru_with_additive_attention_learns_to_write_backwards() -> None:
    torch.manual_seed(0)
    model = EncoderDecoder(
        RecurrentEncoder(TYPES, 32, dropout=0.0),
        RecurrentDecoder(TYPES, 32, 32, attention="additive", order="bahdanau", bridge="backward", dropout=0.0),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(200):
        source, target = batch(step)
        logits = model(source, shift_right(target, SPECIALS.bos))
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=SPECIALS.pad)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    source, target = batch(10_000)
    with torch.no_grad():
        guesses = model.eval()(source, shift_right(target, SPECIALS.bos)).argmax(-1)
    counted = target != SPECIALS.pad
    assert float((guesses == target)[counted].float().mean()) > 0.95

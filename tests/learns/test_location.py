"""Where content tells nothing, location does: copying two types that are read by their embeddings alone."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from core.batch import TextBatch, shift_right
from core.decoders.recurrent import Attention, RecurrentDecoder
from core.encoders.base import Memory
from core.layers.location import LocationOptions
from core.tokenization import Specials

SPECIALS = Specials()
TYPES = 6


def batch(seed: int) -> tuple[TextBatch, torch.Tensor]:
    """32 random sources of 4 to 7 tokens of the two last types, and their targets: the same, and the end token."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(4, 8, (32,), generator=generator)
    tokens = torch.randint(TYPES - 2, TYPES, (32, 8), generator=generator)
    beyond = torch.arange(8) >= lengths.unsqueeze(1)
    target = tokens.masked_fill(beyond, SPECIALS.pad).scatter(1, lengths.unsqueeze(1), SPECIALS.eos)
    return TextBatch(tokens.masked_fill(beyond, SPECIALS.pad), lengths), target


def accuracy(attention: Attention, location: LocationOptions) -> float:
    """Trains a decoder that attends to embeddings, and says how many tokens of new targets it has right."""
    torch.manual_seed(0)
    embedding = nn.Embedding(TYPES, 32, padding_idx=SPECIALS.pad)
    decoder = RecurrentDecoder(
        TYPES, 32, 32, attention=attention, order="bahdanau", bridge="project", dropout=0.0, location=location
    )
    optimizer = torch.optim.AdamW([*embedding.parameters(), *decoder.parameters()], lr=1e-2)
    for step in range(160):
        source, target = batch(step)
        logits = decoder(shift_right(target, SPECIALS.bos), Memory(embedding(source.values), source.lengths))
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=SPECIALS.pad)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(decoder.parameters(), 1.0)
        optimizer.step()
    source, target = batch(10_000)
    with torch.no_grad():
        memory = Memory(embedding(source.values), source.lengths)
        guesses = decoder.eval()(shift_right(target, SPECIALS.bos), memory).argmax(-1)
    return float((guesses == target)[target != SPECIALS.pad].float().mean())


def test_location_learns_to_copy_what_content_cannot_tell_apart() -> None:
    assert accuracy("location", LocationOptions(filters=8, width=5)) > 0.95
    assert accuracy("additive", LocationOptions()) < 0.85

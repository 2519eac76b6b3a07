"""Words that the vocabulary lacks, numbered anew in each source, so that they can be copied from it.

Letters: B batch, S source length, T target length, V vocabulary.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from core.batch import ExtendedTextBatch, Seq2SeqBatch, TextBatch


def number_own_words(batch: Seq2SeqBatch, types: int, unk: int) -> Seq2SeqBatch:
    """Makes an `ExtendedTextBatch` of a batch whose ids from V on are words of no type (See et al. 2017, section 2.2).

    A target's word that its source doesn't have becomes unknown.

    Args:
        batch: of text, as a tokenizer with `own_words` cut it.
        types: V.
        unk: the unknown token.
    """
    source, target = batch.source, batch.target
    assert isinstance(source, TextBatch)
    sources = [[index for index in dict.fromkeys(row) if index >= types] for row in source.values.tolist()]
    numbers = [{index: types + number for number, index in enumerate(words)} for words in sources]
    extended = ExtendedTextBatch(
        source.values.masked_fill(source.values >= types, unk),
        source.lengths,
        source.segments,
        extended=renumbered(source.values, numbers, types, unk),
        own_words=tuple(map(tuple, sources)),
    )
    if target is not None:
        target = replace(target, values=renumbered(target.values, numbers, types, unk))
    return replace(batch, source=extended, target=target)


def renumbered(values: Tensor, numbers: list[dict[int, int]], types: int, unk: int) -> Tensor:
    """Replaces the ids from V on in each row of (B, S) by the row's own numbers; those that have none are unknown."""
    values = values.clone()
    for row, place in (values >= types).nonzero().tolist():
        values[row, place] = numbers[row].get(int(values[row, place]), unk)
    return values

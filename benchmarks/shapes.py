"""The Transformer that the speed benchmarks measure, its options, and random batches for it."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, fields
from typing import get_args

import torch
from torch import Tensor

from core.batch import Seq2SeqBatch, TextBatch
from core.decoders.transformer import TransformerDecoder
from core.encoders.transformer import TransformerEncoder
from core.layers.positions import Positions
from core.layers.transformer import Norm
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials

FIRST_WORD = 4  # the ids before it are the specials'


@dataclass(frozen=True)
class Shape:
    """A Transformer with one table for both embeddings and the head.

    By default it is the one of `configs/mt/multi30k.yaml`, but for the positions: transformers has no such model with
    rotary ones.

    Attributes:
        vocab_size: number of types.
        d_model: width.
        num_layers: of the encoder, and as many of the decoder.
        num_heads: of each attention.
        ffn_size: width within the feed-forward part.
        dropout: of sublayers and embeddings.
        attention_dropout: of the attention's weights.
        activation_dropout: within the feed-forward part.
        norm: "pre" or "post".
        positions: "sinusoidal", "learned", "rotary" or "none".
    """

    vocab_size: int = 8000
    d_model: int = 128
    num_layers: int = 4
    num_heads: int = 4
    ffn_size: int = 256
    dropout: float = 0.3
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    norm: Norm = "pre"
    positions: Positions = "sinusoidal"

    def build(self) -> EncoderDecoder:
        """Makes the model with random weights."""
        options = {name: value for name, value in asdict(self).items() if name != "vocab_size"}
        encoder = TransformerEncoder(self.vocab_size, **options)
        decoder = TransformerDecoder(self.vocab_size, self.d_model, **options)
        encoder.embed.table.weight = decoder.embed.table.weight
        return EncoderDecoder(encoder, decoder)

    def __str__(self) -> str:
        return (
            f"{self.num_layers}+{self.num_layers} {self.norm}-norm layers, d {self.d_model}, ffn {self.ffn_size}, "
            f"{self.num_heads} heads, {self.vocab_size:,} types"
        )


CHOICES = {"norm": get_args(Norm), "positions": get_args(Positions)}


def add_shape_options(parser: argparse.ArgumentParser) -> None:
    """Adds an option for each field of `Shape`."""
    for field in fields(Shape):
        choices = CHOICES.get(field.name)
        parser.add_argument(
            f"--{field.name}", type=type(field.default), default=field.default, choices=choices, help="%(default)s"
        )


def chosen_shape(options: argparse.Namespace) -> Shape:
    """The shape of a command line."""
    return Shape(**{field.name: getattr(options, field.name) for field in fields(Shape)})


def random_text(lengths: Tensor, vocab_size: int, generator: torch.Generator) -> TextBatch:
    """Draws words for lengths (B,): values (B, S), padded with zeros, the padding's id."""
    values = torch.randint(FIRST_WORD, vocab_size, (len(lengths), int(lengths.max())), generator=generator)
    values.masked_fill_(torch.arange(values.size(1)) >= lengths.unsqueeze(1), Specials().pad)
    return TextBatch(values, lengths)


def random_batch(size: int, length: int, vocab_size: int, generator: torch.Generator) -> Seq2SeqBatch:
    """Draws a batch as a bucketed sampler makes them: B examples of `length` tokens or up to a quarter fewer."""
    shortest = length - length // 4
    lengths = torch.randint(shortest, length + 1, (2, size), generator=generator)
    target = random_text(lengths[1], vocab_size, generator)
    target.values[torch.arange(size), lengths[1] - 1] = Specials().eos
    return Seq2SeqBatch(random_text(lengths[0], vocab_size, generator), target, tuple(range(size)))

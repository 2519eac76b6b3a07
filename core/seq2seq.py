"""The model of all tasks: an encoder and a decoder, and nothing that knows a task or a modality."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from core.batch import ExtendedTextBatch, Source, TextBatch
from core.decoders.base import Decoder
from core.encoders.base import Encoder, Memory
from core.errors import ConfigError


class EncoderDecoder(nn.Module):
    """Scores a target given a source: forward = decode(encode).

    Letters: B batch, T target length, V target vocabulary.

    Attributes:
        copies: the memory has the source's tokens, for a decoder that copies them.

    Raises:
        ConfigError: the decoder was made for a memory of another width than the encoder's, or copies what the encoder
            doesn't give it.
    """

    copies: bool = False

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        if decoder.memory_size != encoder.d_model:
            raise ConfigError(
                f"model.decoder.memory_size is {decoder.memory_size}, but the encoder {type(encoder).__name__} gives "
                f"states of width {encoder.d_model}: make the decoder with memory_size={encoder.d_model}"
            )
        if decoder.copies:
            check_copying(encoder, decoder)
        decoder.share(encoder)
        self.encoder = encoder
        self.decoder = decoder
        self.copies = decoder.copies

    def encode(self, source: Source) -> Memory:
        """Encodes a batch of sources to a memory of states (B, S, D), with their tokens for a decoder that copies.

        Raises:
            ConfigError: the source can't be copied, or has words that the decoder has no types for.
        """
        memory: Memory = self.encoder(source)
        if self.copies:
            return with_tokens(memory, source)
        if isinstance(source, ExtendedTextBatch):
            raise ConfigError(
                "tokenizer.own_words is true, but the decoder has no types for the sources' own words: set "
                "model.decoder.copy=true, or data.tokenizer.own_words=false"
            )
        return memory

    def decode(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Scores input tokens (B, T), begin token first, against a memory: logits (B, T, V)."""
        logits: Tensor = self.decoder(tokens, memory)
        return logits

    def forward(self, source: Source, tokens: Tensor) -> Tensor:
        """Scores input tokens (B, T) given their sources: logits (B, T, V)."""
        return self.decode(tokens, self.encode(source))


def check_copying(encoder: Encoder, decoder: Decoder) -> None:
    """Raises ConfigError where a decoder that copies couldn't know the token of each of an encoder's states."""
    name, table = type(encoder).__name__, encoder.embedding
    if encoder.subsampling != 1:
        raise ConfigError(
            f"model.decoder.copy is true, but the encoder {name} makes one state of {encoder.subsampling} steps of its "
            f"source: only tokens can be copied, each with a state of its own; set copy to false"
        )
    if table is not None and table.num_embeddings != decoder.embedding.num_embeddings:
        raise ConfigError(
            f"model.decoder.copy is true, but the source has {table.num_embeddings} types and the target "
            f"{decoder.embedding.num_embeddings}: what is copied must be in both, so use a joint vocabulary "
            f"(data.tokenizer.joint=true), or set copy to false"
        )


def with_tokens(memory: Memory, source: Source) -> Memory:
    """Adds a text's tokens to its memory.

    Raises:
        ConfigError: the source isn't text, or hasn't one state for each token.
    """
    if not isinstance(source, TextBatch):
        raise ConfigError(
            f"model.decoder.copy is true, but the source is {type(source).__name__}: only a text's tokens can be copied"
        )
    if memory.states.size(1) != source.values.size(1):
        raise ConfigError(
            f"model.decoder.copy is true, but the encoder makes {memory.states.size(1)} states of "
            f"{source.values.size(1)} tokens: copying needs one state for each token"
        )
    if isinstance(source, ExtendedTextBatch):
        return replace(memory, tokens=source.extended, extra_types=source.extra_types)
    return replace(memory, tokens=source.values)


def tie_embeddings(encoder: Encoder, decoder: Decoder) -> None:
    """Makes one table of the source's and the target's embeddings, for a joint vocabulary (Press & Wolf 2017, 4.4).

    The table is the decoder's. A head that is tied with it stays so: that makes three (Vaswani et al. 2017, 3.4).

    Raises:
        ConfigError: the encoder embeds no tokens, or the two tables differ in shape.
    """
    source, target = encoder.embedding, decoder.embedding
    if source is None:
        raise ConfigError(f"{type(encoder).__name__} has no token embeddings that could be tied with the decoder's")
    if source.weight.shape != target.weight.shape:
        raise ConfigError(
            f"the source's embeddings are {tuple(source.weight.shape)} and the target's {tuple(target.weight.shape)} "
            f"(types, width): to tie them, use a joint vocabulary and one embedding width for both, or don't tie them"
        )
    source.weight = target.weight

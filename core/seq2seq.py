"""The model of all tasks: an encoder and a decoder, and nothing that knows a task or a modality."""

from __future__ import annotations

from torch import Tensor, nn

from core.batch import Source
from core.decoders.base import Decoder
from core.encoders.base import Encoder, Memory
from core.errors import ConfigError


class EncoderDecoder(nn.Module):
    """Scores a target given a source: forward = decode(encode).

    Letters: B batch, T target length, V target vocabulary.

    Raises:
        ConfigError: the decoder was made for a memory of another width than the encoder's.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        if decoder.memory_size != encoder.d_model:
            raise ConfigError(
                f"model.decoder.memory_size is {decoder.memory_size}, but the encoder {type(encoder).__name__} gives "
                f"states of width {encoder.d_model}: make the decoder with memory_size={encoder.d_model}"
            )
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, source: Source) -> Memory:
        """Encodes a batch of sources to a memory of states (B, S, D)."""
        memory: Memory = self.encoder(source)
        return memory

    def decode(self, tokens: Tensor, memory: Memory) -> Tensor:
        """Scores input tokens (B, T), begin token first, against a memory: logits (B, T, V)."""
        logits: Tensor = self.decoder(tokens, memory)
        return logits

    def forward(self, source: Source, tokens: Tensor) -> Tensor:
        """Scores input tokens (B, T) given their sources: logits (B, T, V)."""
        return self.decode(tokens, self.encode(source))


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

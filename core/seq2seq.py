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

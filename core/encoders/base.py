"""Encoders turn a source of any modality into a memory that a decoder attends to.

Letters: B batch, S source length, D model width, L layers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from core.batch import Source
from core.masks import length_mask


@dataclass(frozen=True)
class Memory:
    """What an encoder gives to a decoder.

    Attributes:
        states: (B, S, D), zero beyond each length.
        lengths: (B,) int64, after the encoder's subsampling.
        final: a recurrent encoder's last states, each (L, B, D): the hidden state, and the cell state of an LSTM;
            both directions of a bidirectional encoder side by side in D. Empty for other encoders.
        tokens: for a decoder that copies, the source's token of each state, (B, S) int64: ids of the target's
            vocabulary, and from its size on those of words that it lacks; None where nothing is copied.
        extra_types: how many such words the batch's richest source has.
    """

    states: Tensor
    lengths: Tensor
    final: tuple[Tensor, ...] = ()
    tokens: Tensor | None = None
    extra_types: int = 0

    @property
    def mask(self) -> Tensor:
        """True where a state belongs to its example: (B, S)."""
        return length_mask(self.lengths, self.states.size(1))

    def select(self, sources: Tensor) -> Memory:
        """Returns the memory of those examples (N,), in that order."""
        final = tuple(state[:, sources] for state in self.final)
        tokens = None if self.tokens is None else self.tokens[sources]
        return replace(self, states=self.states[sources], lengths=self.lengths[sources], final=final, tokens=tokens)


class Encoder(nn.Module, ABC):
    """Maps a padded source to a memory.

    The first argument of every subclass's constructor is the size of its input: the vocabulary for text, the number
    of features a frame for audio, the number of channels for images. It is given by the data; all else is an option
    with a default.

    Subclasses keep the contract that `tests.contracts.encoder.EncoderContract` tests: the states of an example don't
    depend on the padding or on the other examples of its batch.

    Attributes:
        d_model: the width D of the states.
        subsampling: how many steps of the source make one state, but for what is lost at the ends.
    """

    d_model: int
    subsampling: int = 1

    @abstractmethod
    def forward(self, source: Source) -> Memory:
        """Encodes a batch.

        Args:
            source: values (B, S, ...) and lengths (B,), in the modality's own unit (tokens, frames, patches).

        Returns:
            states (B, S', D), zero beyond each length, and lengths (B,) after subsampling.

        Raises:
            DataError: an example is shorter than one step of the encoder's subsampling.
        """

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """How many states `forward` makes of sources of those lengths (B,): (B,), 0 where a source is too short.

        A function of the lengths alone, for plans that are made before anything is encoded.
        """
        return lengths

    def portable_options(self) -> dict[str, Any]:
        """Options that a checkpoint needs beside those that were given, as plain data.

        With them the encoder can be made where what it was first made from, such as a folder of pretrained weights,
        isn't; its weights are the checkpoint's.
        """
        return {}

    @property
    def embedding(self) -> nn.Embedding | None:
        """The table of token embeddings (V, D) that may be tied with the decoder's; None where there is none."""
        return None

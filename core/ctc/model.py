"""An encoder-decoder whose memory is also labelled frame by frame.

Letters: B batch, S memory length, V target vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.decoders.base import Decoder
from core.encoders.base import Encoder, Memory
from core.errors import ConfigError
from core.heads import CtcHead
from core.seq2seq import EncoderDecoder


class CtcEncoderDecoder(EncoderDecoder):
    """An encoder that a CTC head and an attention decoder share (Watanabe et al. 2017, section II.C).

    Raises:
        ConfigError: the head was made for another width than the encoder's, or another vocabulary than the decoder's.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, ctc: CtcHead) -> None:
        super().__init__(encoder, decoder)
        linear = ctc.projection
        if linear.in_features != encoder.d_model:
            raise ConfigError(
                f"the CTC head reads states of width {linear.in_features}, but the encoder {type(encoder).__name__} "
                f"gives states of width {encoder.d_model}: make the head with d_model={encoder.d_model}"
            )
        types = decoder.embedding.num_embeddings
        if linear.out_features != types:
            raise ConfigError(
                f"the CTC head scores {linear.out_features} types, but the decoder {types}: they write one "
                f"vocabulary; make the head with vocab_size={types}"
            )
        self.ctc = ctc

    def ctc_log_probs(self, memory: Memory) -> Tensor:
        """The log-probabilities of the labels and the blank at each frame: (B, S, V), float32 under autocast too."""
        with torch.autocast(memory.states.device.type, enabled=False):
            logits: Tensor = self.ctc(memory.states.float())
            return logits.log_softmax(-1)


def with_ctc(model: EncoderDecoder, wanted_by: str) -> CtcEncoderDecoder:
    """Returns a model that has a CTC head.

    Raises:
        ConfigError: it has none; the message names what wants it.
    """
    if not isinstance(model, CtcEncoderDecoder):
        raise ConfigError(
            f"{wanted_by} needs a CTC head, but this model has an encoder and a decoder only: train a model with one "
            "(core.ctc.model.CtcEncoderDecoder), or leave CTC out"
        )
    return model


def check_weight(name: str, weight: float) -> float:
    """Returns a share in [0, 1], or raises ConfigError with the option's name."""
    if not 0 <= weight <= 1:
        raise ConfigError(f"{name} must be at least 0 (attention alone) and at most 1 (CTC alone), got {weight}")
    return weight

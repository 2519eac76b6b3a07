"""A model that points at the answer in its source, and how it is trained.

Letters: B windows, S source length, D model width.
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.batch import Seq2SeqBatch, Source, TextBatch
from core.encoders.base import Encoder
from core.errors import ConfigError
from core.heads import SpanHead
from core.objectives import Loss, Objective
from core.seq2seq import EncoderDecoder
from core.span.batch import SpanBatch
from core.tokenization import Specials


class SpanModel(EncoderDecoder):
    """An encoder with a span head in the decoder's place: it can't write, only point.

    Args:
        encoder: reads question and context together; one state a token.
        head: of the encoder's width.

    Raises:
        ConfigError: the encoder makes fewer states than there are tokens.
    """

    def __init__(self, encoder: Encoder, head: SpanHead) -> None:
        nn.Module.__init__(self)  # not EncoderDecoder's, which wants a decoder
        if encoder.subsampling != 1:
            raise ConfigError(
                f"model.answer: span needs a state for each token, but {type(encoder).__name__} makes one of "
                f"{encoder.subsampling}: take another encoder, or answer: generate"
            )
        self.encoder = encoder
        self.head = head

    def score(self, source: Source) -> tuple[Tensor, Tensor]:
        """Scores the places of B sources as the answer's first and last token.

        Returns:
            two tensors (B, S) in float32 at least, -inf where no answer can be: outside of the context, but for place
            0, which stands for no answer.

        Raises:
            ConfigError: the encoder doesn't give a state for each token, or the sources have no parts.
        """
        if not isinstance(source, TextBatch) or source.segments is None:
            raise ConfigError("answers can only be pointed at in sources whose parts are marked: take tasks.qa's data")
        memory = self.encode(source)
        if memory.states.size(1) != source.values.size(1):
            raise ConfigError(
                f"model.answer: span needs a state for each token, but {type(self.encoder).__name__} gave "
                f"{memory.states.size(1)} for {source.values.size(1)}: take another encoder, or answer: generate"
            )
        start, end = self.head(memory.states)
        there = source.segments > 0
        there[:, 0] = True
        there = there & memory.mask
        return start.masked_fill(~there, -inf), end.masked_fill(~there, -inf)


class SpanObjective(Objective):
    """The mean negative log-probability of the answer's first and last token (Seo et al. 2017, equation 5).

    A window without the answer learns to point at its begin token (Devlin et al. 2019, section 4.3).
    """

    def forward(self, model: EncoderDecoder, batch: Seq2SeqBatch, specials: Specials, step: int) -> Loss:
        """Scores a batch; its "tokens" are the two places of each window."""
        assert isinstance(model, SpanModel), "SpanObjective trains a SpanModel"
        assert isinstance(batch, SpanBatch), "SpanObjective needs the spans of the answers"
        assert batch.spans is not None, "this batch was made for prediction: it has no answers"
        start, end = model.score(batch.source)
        total = F.cross_entropy(start, batch.spans[:, 0], reduction="sum")
        total = total + F.cross_entropy(end, batch.spans[:, 1], reduction="sum")
        return Loss(total, total.detach(), torch.tensor(2 * len(batch), device=total.device))

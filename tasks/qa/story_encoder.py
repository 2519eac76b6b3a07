"""An encoder for stories: a vector for each sentence, and steps of attention between them.

Letters: B batch, S source length in tokens, N sentences of the longest context, D model width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.batch import Source, TextBatch
from core.encoders.base import Encoder, Memory
from core.errors import ConfigError
from core.layers.dropout import Dropout
from core.layers.positions import sinusoids
from core.layers.transformer import EncoderLayer, LayerOptions, Norm
from core.masks import length_mask


class StoryEncoder(Encoder):
    """Encodes question and sentences as a vector each, and lets these attend to each other in steps of shared weights.

    A sentence is the sum of its tokens' embeddings, each multiplied by a learned vector of its place in the sentence
    (Sukhbaatar et al. 2015, section 4.1; the learned form is Henaff et al. 2017's, equation 3). The steps are those of
    the Universal Transformer (Dehghani et al. 2019, section 2.1, and appendix D.1 for bAbI): one layer, used several
    times, told at each step the step's number and each sentence's age, counted from the story's end. The memory has a
    state for the question, then one for each sentence.

    Args:
        vocab_size: number of the source's types.
        d_model: width D of the states, an even number.
        num_steps: how often the layer is used: how many facts can be put together one after another.
        num_heads: of its attention.
        ffn_size: width within its feed-forward part.
        dropout: of each sublayer's output and of the sentences.
        attention_dropout: of the attention's weights.
        norm: before each sublayer, with one more at the end ("pre"), or after it ("post").
        max_words: tokens of a sentence whose places are told apart; those beyond share the last one.

    Raises:
        ConfigError: an odd width, no step, or no word.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 128,
        num_steps: int = 4,
        num_heads: int = 4,
        ffn_size: int = 256,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        norm: Norm = "pre",
        max_words: int = 32,
    ) -> None:
        super().__init__()
        if d_model % 2:
            raise ConfigError(f"model.encoder.d_model must be even (sine and cosine share it), got {d_model}")
        for name, value in (("num_steps", num_steps), ("max_words", max_words)):
            if value < 1:
                raise ConfigError(f"model.encoder.{name} must be at least 1, got {value}")
        self.d_model, self.num_steps = d_model, num_steps
        self.embed = nn.Embedding(vocab_size, d_model)
        nn.init.normal_(self.embed.weight, std=d_model**-0.5)
        self.places = nn.Parameter(torch.empty(max_words, d_model).normal_(1.0, 0.5))  # told apart from the start
        self.parts = nn.Parameter(torch.empty(2, d_model).normal_(std=d_model**-0.5))  # the question's, the sentences'
        self.first_norm = nn.LayerNorm(d_model)
        self.steps = nn.Parameter(sinusoids(num_steps, d_model) * d_model**-0.5)
        self.age_scale = nn.Parameter(torch.ones(()))
        self.dropout = Dropout(dropout)
        self.layer = EncoderLayer(
            LayerOptions(
                d_model=d_model,
                num_heads=num_heads,
                ffn_size=ffn_size,
                dropout=dropout,
                attention_dropout=attention_dropout,
                activation_dropout=0.0,
                activation="relu",
                norm=norm,
                rotary=False,
            )
        )
        self.norm = nn.LayerNorm(d_model) if norm == "pre" else nn.Identity()

    @property
    def embedding(self) -> nn.Embedding:
        """The source's token embeddings (V, D)."""
        return self.embed

    def forward(self, source: Source) -> Memory:
        """Encodes token ids (B, S) with their sentences' numbers: states (B, 1 + N, D).

        Raises:
            ConfigError: the sentences' numbers aren't there.
        """
        if not isinstance(source, TextBatch) or source.segments is None:
            raise ConfigError("StoryEncoder reads sources whose sentences are numbered: take tasks.qa's data")
        there = length_mask(source.lengths, source.values.size(1))
        segments = source.segments.masked_fill(~there, 0)
        count = segments.amax(1)  # (B,)
        mask = length_mask(count + 1, int(count.max()) + 1)  # (B, 1 + N)
        x = self.first_norm(self._sentences(source.values, segments, there, mask.size(1)))
        x = self.dropout(x + self.parts[[0] + [1] * (mask.size(1) - 1)])
        times = self._ages(count, mask.size(1)).to(x.dtype) * self.age_scale
        for step in self.steps:
            x = self.layer(x + times + step, mask[:, None, None])
        return Memory(self.norm(x).masked_fill(~mask.unsqueeze(2), 0.0), count + 1)

    def _sentences(self, tokens: Tensor, segments: Tensor, there: Tensor, size: int) -> Tensor:
        """Sums up each sentence's tokens (B, S): (B, size, D)."""
        index = torch.arange(tokens.size(1), device=tokens.device).expand_as(tokens)
        begins = torch.ones_like(segments, dtype=torch.bool)
        begins[:, 1:] = segments[:, 1:] != segments[:, :-1]
        place = index - index.masked_fill(~begins, 0).cummax(1).values
        weights = self.places[place.clamp(max=len(self.places) - 1)]
        words = (self.embed(tokens) * weights).masked_fill(~there.unsqueeze(2), 0.0)
        sums = words.new_zeros(tokens.size(0), size, self.d_model)
        summed: Tensor = sums.scatter_add(1, segments.unsqueeze(2).expand_as(words), words)
        return summed

    def _ages(self, count: Tensor, size: int) -> Tensor:
        """Tells how old each sentence is: counts (B,) to (B, size, D), zero for the question and in padding."""
        number = torch.arange(size, device=count.device)
        age = (count.unsqueeze(1) - number).clamp(min=0)  # (B, size), 0 for the last sentence
        table = sinusoids(size, self.d_model).to(count.device)
        told: Tensor = table[age] * (number > 0).unsqueeze(1) * self.d_model**-0.5
        return told

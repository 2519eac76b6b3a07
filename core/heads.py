"""Heads turn a decoder's features into scores.

Letters: B sources, T steps or rows a source, S memory length, D feature width, V vocabulary, X the sources' own words.
"""

from __future__ import annotations

from math import inf

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import ConfigError
from core.layers.copying import Copyable, gate_log_probs, log_mass, mix
from core.layers.linear import Linear


class VocabularyHead(nn.Module):
    """Scores every type of the vocabulary: features (..., D) to logits (..., V).

    Args:
        d_model: the width D of the features.
        vocab_size: the number of types V.
        tied: a table of embeddings (V, D) whose weights are the head's too (Press & Wolf 2017); None for its own.
        bias: add a learned score to each type.

    Raises:
        ConfigError: the tied table isn't (vocab_size, d_model).
    """

    def __init__(self, d_model: int, vocab_size: int, tied: nn.Embedding | None = None, bias: bool = True) -> None:
        super().__init__()
        self.projection: nn.Linear = Linear(d_model, vocab_size, bias=bias)
        if bias:
            nn.init.zeros_(self.projection.bias)
        if tied is not None:
            check_tied(tied, d_model, vocab_size)
            self.projection.weight = tied.weight

    def forward(self, features: Tensor) -> Tensor:
        """Scores features (..., D): logits (..., V)."""
        logits: Tensor = self.projection(features)
        return logits


class CopyHead(nn.Module):
    """Writes types of the vocabulary and copies tokens of the source (See, Liu and Manning 2017, section 2.2).

    p(w) = p_gen P_vocab(w) + (1 - p_gen) sum of a_i over the positions i of the source that have w. With one vocabulary
    of subwords for both sides that is all; with words, the source's own ones that the vocabulary lacks are types too,
    from V on. The gate p_gen reads the features, which are made of the state, the context and, through them, the last
    token, that equation 8 names (so does OpenNMT's copy generator).

    All is done in logarithms and in float32 at least: a gate of 0 or 1, a source of no token and attention that
    underflows give finite scores and gradients.

    Args:
        vocabulary: makes logits (..., V) of features (..., D).
    """

    def __init__(self, vocabulary: VocabularyHead) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.gate = Linear(vocabulary.projection.in_features, 1)
        nn.init.zeros_(self.gate.bias)

    def forward(self, features: Tensor, weights: Tensor, sources: Copyable) -> Tensor:
        """Scores features (B, T, D), made with attention weights (B, T, S): log-probabilities (B, T, V + X)."""
        logits = widened(self.vocabulary(features))
        writing, copying = gate_log_probs(widened(self.gate(features)).squeeze(2), sources)
        with torch.autocast(features.device.type, enabled=False):
            written = logits - (logits.logsumexp(2) - writing).unsqueeze(2)
            return mix(written, copying, weights.to(written.dtype), sources)

    def loss(
        self,
        features: Tensor,
        weights: Tensor,
        sources: Copyable,
        target: Tensor,
        is_token: Tensor,
        smoothing: float,
    ) -> tuple[Tensor, Tensor]:
        """The negative log-likelihood of a target, without the log-probabilities of all other types.

        Smoothing spreads its share over the vocabulary's own distribution: the gate isn't smoothed.

        Args:
            features: (B, T, D).
            weights: (B, T, S).
            sources: what the weights attend to.
            target: ids (B, T) below V + X.
            is_token: (B, T), True at the N real positions, which alone count.
            smoothing: the share of the target's probability that is spread evenly over all V types.

        Returns:
            The sum of the smoothed loss, with gradient, and that of the plain one, without: both scalars in nats.
        """
        logits = widened(self.vocabulary(features[is_token]))  # (N, V)
        gates = widened(self.gate(features)).squeeze(2)
        writing, copying = gate_log_probs(gates, sources)
        mass, matched = sources.mass(weights.to(gates.dtype), target)
        copied = torch.where(matched, log_mass(mass) + copying, -inf)[is_token]
        wanted, norm = target[is_token], logits.logsumexp(1)
        known = wanted < logits.size(1)
        chosen = logits.gather(1, wanted.masked_fill(~known, 0).unsqueeze(1)).squeeze(1)
        written = torch.where(known, chosen - norm, -inf) + writing[is_token]
        nll = -written.logaddexp(copied).sum()
        total = (1 - smoothing) * nll + smoothing * (norm - logits.mean(1)).sum() if smoothing else nll
        return total, nll.detach()


class CtcHead(nn.Module):
    """Scores every type of the vocabulary and the blank at each state of a memory (Graves et al. 2006, section 3).

    The blank is the padding's id, which is never a target: the labels keep the ids that the decoder has for them.

    Args:
        d_model: the width D of the memory's states.
        vocab_size: the target's number of types V.
    """

    def __init__(self, d_model: int, vocab_size: int) -> None:
        super().__init__()
        self.projection = Linear(d_model, vocab_size)
        nn.init.zeros_(self.projection.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Scores states (..., D): logits (..., V)."""
        logits: Tensor = self.projection(states)
        return logits


def widened(x: Tensor) -> Tensor:
    """Returns x in float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class SpanHead(nn.Module):
    """Scores each state of a memory as an answer's first and last token (Devlin et al. 2019, section 4.2).

    It stands in the decoder's place (`core.span.model.SpanModel`), and copies nothing into a vocabulary.

    Args:
        d_model: the width D of the memory's states.
    """

    copies: bool = False

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.projection = nn.Linear(d_model, 2)
        nn.init.zeros_(self.projection.bias)

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Scores states (B, S, D): two tensors (B, S), in float32 at least.

        In bfloat16 the scores of the best places would often be the same number, and the answer one of them by chance.
        """
        dtype = torch.promote_types(states.dtype, torch.float32)
        with torch.autocast(states.device.type, enabled=False):
            weight, bias = self.projection.weight.to(dtype), self.projection.bias.to(dtype)
            start, end = F.linear(states.to(dtype), weight, bias).unbind(-1)
        return start, end


def check_tied(tied: nn.Embedding, d_model: int, vocab_size: int) -> None:
    """Raises ConfigError where a table of embeddings can't be the weights of a head, naming both sizes."""
    if tied.embedding_dim != d_model:
        raise ConfigError(
            f"a head for features of width {d_model} can't be tied with embeddings of width {tied.embedding_dim}: "
            f"make the two widths equal, or don't tie them"
        )
    if tied.num_embeddings != vocab_size:
        raise ConfigError(
            f"a head for {vocab_size} types can't be tied with embeddings of {tied.num_embeddings} types: "
            f"use one vocabulary for both, or don't tie them"
        )

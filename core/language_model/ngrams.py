"""An n-gram model with back-off: what a token's probability is after what was written before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Gram = tuple[int, ...]

BEGIN = -1  # stands at the beginning of a text, where ARPA has <s>; no id of a tokenizer's, whose bos may be its eos
NEVER = float("-inf")


@dataclass
class Context:
    """What follows one history.

    Attributes:
        following: log10 of the probability of each token that was seen after it.
        backoff: log10 of what the shorter history's probability is multiplied by for any other token.
    """

    following: dict[int, float] = field(default_factory=dict)
    backoff: float = 0.0


@dataclass(frozen=True)
class NgramModel:
    """Back-off n-grams of token ids, with any smoothing (Katz 1987); logarithms are to the base 10, as in ARPA files.

    Attributes:
        order: the longest n-gram's length.
        contexts: by history, the oldest token first; the empty one has the unigrams. A history that isn't there has
            nothing of its own to say: its probabilities are those of the next shorter one.
    """

    order: int
    contexts: dict[Gram, Context]

    def known(self, history: Gram) -> Gram:
        """The longest end of a history that has a context: all that its probabilities depend on."""
        for start in range(max(len(history) - self.order + 1, 0), len(history)):
            if history[start:] in self.contexts:
                return history[start:]
        return ()

    def chain(self, history: Gram) -> list[Context]:
        """The contexts of all ends of a history, from the empty one to the longest."""
        ends = (history[start:] for start in range(len(history), -1, -1))
        return [self.contexts[end] for end in ends if end in self.contexts]

    def log_prob(self, token: int, history: Gram) -> float:
        """log10 of a token's probability after a history, which begins with BEGIN if it is the whole of it."""
        total = 0.0
        for context in reversed(self.chain(self.known(history))):
            if token in context.following:
                return total + context.following[token]
            total += context.backoff
        return NEVER

    def log_probs(self, tokens: Sequence[int], eos: int) -> list[float]:
        """log10 of the probability of each token of a text, and of its end."""
        written = (BEGIN, *tokens, eos)
        return [self.log_prob(token, written[:place]) for place, token in enumerate(written[1:], start=1)]

    def counts(self) -> list[int]:
        """The number of n-grams by their length, from 1; the begin token is one of length 1."""
        counts = [1, *[0] * (self.order - 1)]
        for history, context in self.contexts.items():
            counts[len(history)] += len(context.following)
        return counts

"""Replies that cost nothing, for the model to be compared with: the most frequent one, and that of the nearest history.

Letters: N training histories, V words.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.columns import aligned
from core.metrics.base import MetricGroup, Scored
from core.metrics.dialogue import Distinct, ReplyLength, TopReply, WordF1, words_and_signs
from core.metrics.translation import BLEU, ExactMatch
from tasks.dialogue.dialogues import Exchange

NEAR_TURNS = 2  # the last turns, by which histories are compared: older ones say little of the next reply
SHOWN = 10  # of the most frequent replies

Floats = NDArray[np.float64]
Replier = Callable[[Exchange], str]


class MostFrequentReply:
    """Always says what was said most often in training, of equals the first by letters.

    Args:
        training: exchanges, one at least.
    """

    def __init__(self, training: Sequence[Exchange]) -> None:
        counts = Counter(each.reply.text for each in training)
        self.reply = min(counts, key=lambda text: (-counts[text], text))

    def __call__(self, exchange: Exchange) -> str:
        """The same for all."""
        return self.reply


class NearestHistory:
    """Says what was said after the training history with the largest cosine of tf-idf (Salton and Buckley 1988).

    tf is 1 + log(count), idf is log((1 + N) / (1 + histories with the word)) + 1, over the last two turns' words and
    signs; of equally near histories the first counts.

    Args:
        training: exchanges, one at least.
    """

    def __init__(self, training: Sequence[Exchange]) -> None:
        firsts: dict[tuple[str, ...], str] = {}
        for each in training:
            firsts.setdefault(_recent_words(each), each.reply.text)
        self.replies = list(firsts.values())
        postings: dict[str, list[tuple[int, int]]] = {}
        for number, words in enumerate(firsts):
            for word, count in Counter(words).items():
                postings.setdefault(word, []).append((number, count))
        self.size = len(firsts)
        self.idf = {word: math.log((1 + self.size) / (1 + len(found))) + 1 for word, found in postings.items()}
        self._index(postings)
        self._known: dict[tuple[str, ...], str] = {}

    def _index(self, postings: Mapping[str, Sequence[tuple[int, int]]]) -> None:
        """Keeps for each word the histories that have it, and its weight in them, of length 1 a history."""
        squares = np.zeros(self.size)
        self.rows: dict[str, tuple[NDArray[np.int64], Floats]] = {}
        for word, found in postings.items():
            table = np.array(found, dtype=np.int64)
            weights = self.idf[word] * (1 + np.log(table[:, 1]))
            squares[table[:, 0]] += weights**2  # a history comes once a word
            self.rows[word] = (table[:, 0], weights)
        norms = np.sqrt(np.maximum(squares, 1e-12))
        self.rows = {word: (rows, weights / norms[rows]) for word, (rows, weights) in self.rows.items()}

    def __call__(self, exchange: Exchange) -> str:
        """The reply that followed the nearest history."""
        words = _recent_words(exchange)
        if words not in self._known:
            self._known[words] = self.replies[int(self.similarities(words).argmax())]
        return self._known[words]

    def similarities(self, words: Sequence[str]) -> Floats:
        """The cosine with each training history (N,), but for a factor that is the same for all."""
        total = np.zeros(self.size)
        for word, count in Counter(words).items():
            if word in self.rows:
                rows, weights = self.rows[word]
                total[rows] += self.idf[word] * (1 + math.log(count)) * weights
        return total


def _recent_words(exchange: Exchange) -> tuple[str, ...]:
    turns = (*exchange.knowledge, *exchange.history)[-NEAR_TURNS:]
    return tuple(word for turn in turns for word in words_and_signs(turn.text))


def compare(examples: Sequence[Scored], training: Sequence[Exchange], scored: Sequence[Exchange]) -> str:
    """A table of the model, both baselines and the right replies, and the model's most frequent replies.

    Args:
        examples: what the model wrote.
        training: the baselines learn from it.
        scored: the exchanges of the split, by the examples' ids.
    """
    repliers: dict[str, Replier] = {
        "most frequent reply": MostFrequentReply(training),
        f"nearest history (tf-idf of {NEAR_TURNS} turns)": NearestHistory(training),
        "the right replies": lambda exchange: exchange.reply.text,
    }
    systems = {"the model": list(examples)} | {
        name: [replace(each, hypothesis=reply(scored[each.id])) for each in examples]
        for name, reply in repliers.items()
    }
    return f"{_table(systems)}\n\n{_most_frequent(examples)}\n"


def _table(systems: Mapping[str, Sequence[Scored]]) -> str:
    metric = MetricGroup.of(BLEU(), WordF1(), Distinct(), ReplyLength(), TopReply(), ExactMatch())
    names = [name for name in metric.names if name != "reference_length"]
    rows = [["", *names]]
    for system, examples in systems.items():
        scores = metric.score(examples)
        rows.append([system, *(f"{scores[name].value:.2f}" for name in names)])
    return aligned(rows)


def _most_frequent(examples: Sequence[Scored]) -> str:
    counts = Counter(" ".join(example.hypothesis.split()) for example in examples)
    lines = [f"{100 * count / len(examples):6.2f} %  {reply}" for reply, count in counts.most_common(SHOWN)]
    return "\n".join(["the model's most frequent replies:", *lines])

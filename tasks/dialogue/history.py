"""Histories that fit: of a dialogue that is too long the last turns stay, whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

from core.errors import ConfigError
from core.tokenization import TrainedTokenizer
from tasks.dialogue.dialogues import Exchange, Speaker, Turn, marked_history

LEAST = 8  # tokens that hold a speaker's symbol, a few words and the symbol of who replies


@dataclass(frozen=True)
class HistoryReport:
    """What was cut in a split.

    Attributes:
        histories: all of them.
        cut: those that lost turns.
        turns: the turns that they lost.
        ends: histories whose last turn alone was too long: its end was kept.
        knowledge: the lines of knowledge that were left out.
    """

    histories: int = 0
    cut: int = 0
    turns: int = 0
    ends: int = 0
    knowledge: int = 0

    def __str__(self) -> str:
        lost = f"{self.cut:,} of {self.histories:,} histories lost their first turns ({self.turns:,} in all)"
        return f"{lost}, {self.ends:,} kept but the end of a turn, {self.knowledge:,} lines of knowledge left out"


class HistoryCutter:
    """Cuts histories to a length, by whole turns.

    Lines of knowledge come first and stay, as many as fit into half of the length. Of the turns the last ones stay; if
    the last one alone is too long, its last words stay.

    Args:
        tokenizer: counts; its options have the speakers' symbols.
        limit: the most tokens, the symbol of who replies among them, the end token not.

    Raises:
        ConfigError: the limit is too small for any turn.
    """

    def __init__(self, tokenizer: TrainedTokenizer, limit: int) -> None:
        if limit < LEAST:
            raise ConfigError(f"data.max_source_length must be at least {LEAST} for dialogues, got {limit}")
        self.tokenizer, self.limit = tokenizer, limit
        self.report = HistoryReport()
        self.length = lru_cache(maxsize=1 << 20)(self._length)

    def _length(self, turn: Turn) -> int:
        return len(self.tokenizer.encode(turn.marked))

    def source(self, exchange: Exchange) -> str:
        """The source of an exchange, counted in `report`."""
        return self.fit(exchange.knowledge, exchange.history, exchange.reply.speaker)

    def fit(self, knowledge: Sequence[Turn], history: Sequence[Turn], speaker: Speaker) -> str:
        """The marked history of at most `limit` tokens.

        Args:
            knowledge: lines that hold from the beginning.
            history: turns, the last of which stays in any case.
            speaker: who replies.
        """
        known = list(knowledge)[: self._fitting(knowledge, self.limit // 2)]
        room = self.limit - 1 - sum(map(self.length, known))
        kept = list(history)[len(history) - self._fitting(history[::-1], room) :]
        shortened = bool(history) and not kept
        if shortened:
            kept = [self._end_of(history[-1], room)]
        self._count(len(history) - len(kept), shortened, len(knowledge) - len(known))
        return marked_history(known, kept, speaker)

    def _fitting(self, turns: Sequence[Turn], room: int) -> int:
        """How many of the first turns fit."""
        count = 0
        for total in accumulate(map(self.length, turns)):
            if total > room:
                break
            count += 1
        return count

    def _end_of(self, turn: Turn, room: int) -> Turn:
        """The last words of a turn that fit; of a word that doesn't fit by itself the last characters."""
        words = turn.text.split()
        low, high = 0, len(words)  # dropping more words never makes it longer
        while low < high:
            middle = (low + high) // 2
            if self._length(replace(turn, text=" ".join(words[middle:]))) <= room:
                high = middle
            else:
                low = middle + 1
        if low < len(words):
            return replace(turn, text=" ".join(words[low:]))
        tail = words[-1][-4 * room :]  # few tokens are longer than four characters
        while tail and self._length(replace(turn, text=tail)) > room:
            tail = tail[1:]
        return replace(turn, text=tail)

    def _count(self, turns: int, shortened: bool, knowledge: int) -> None:
        report = self.report
        self.report = HistoryReport(
            report.histories + 1,
            report.cut + bool(turns),
            report.turns + turns,
            report.ends + shortened,
            report.knowledge + knowledge,
        )

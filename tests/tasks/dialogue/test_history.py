from __future__ import annotations

import pytest

from core.errors import ConfigError
from core.tokenization import TokenizerOptions, TrainedTokenizer, train_tokenizer
from core.tokenization.options import Kind
from tasks.dialogue.dialogues import SYMBOLS, Turn, marked_history
from tasks.dialogue.history import HistoryCutter, HistoryReport

WORDS = "a b c d e f g h i j k l m n o p q r s t u v w x y z"


def tokenizer(kind: Kind = "words") -> TrainedTokenizer:
    options = TokenizerOptions(kind=kind, vocab_size=300, min_frequency=1, symbols=tuple(SYMBOLS.values()))
    return train_tokenizer([WORDS], options)


TURNS = (Turn("user", "a b c"), Turn("system", "d e"), Turn("user", "f g h"))


def test_what_fits_is_whole() -> None:
    cutter = HistoryCutter(tokenizer(), 12)  # 4 + 3 + 4 and the one who replies
    assert cutter.fit((), TURNS, "system") == "<user> a b c <system> d e <user> f g h <system>"
    assert cutter.report == HistoryReport(histories=1)


@pytest.mark.parametrize(("limit", "kept"), [(11, 2), (8, 2)])
def test_the_last_turns_stay_whole(limit: int, kept: int) -> None:
    cutter = HistoryCutter(tokenizer(), limit)
    assert cutter.fit((), TURNS, "system") == marked_history((), TURNS[-kept:], "system")
    assert cutter.report == HistoryReport(histories=1, cut=1, turns=3 - kept)


def test_of_a_single_turn_that_is_too_long_the_end_stays() -> None:
    cutter = HistoryCutter(tokenizer(), 8)
    history = (*TURNS, Turn("user", "i j k l m n o p"))
    assert cutter.fit((), history, "system") == "<user> k l m n o p <system>"
    assert cutter.report == HistoryReport(histories=1, cut=1, turns=3, ends=1)


def test_of_a_single_word_that_is_too_long_the_end_stays() -> None:
    cutter = HistoryCutter(tokenizer("characters"), 8)
    source = cutter.fit((), (Turn("user", "abcdefghij"),), "system")
    assert source == "<user> fghij <system>"  # two symbols, a space and five letters
    assert len(cutter.tokenizer.encode(source)) == 8


def test_knowledge_stays_before_turns_in_half_of_the_length() -> None:
    cutter = HistoryCutter(tokenizer(), 12)
    known = [Turn("knowledge", text) for text in ("a b", "c d", "e")]  # 3 + 3 of 6
    source = cutter.fit(known, TURNS, "system")
    assert source == "<knowledge> a b <knowledge> c d <user> f g h <system>"
    assert cutter.report == HistoryReport(histories=1, cut=1, turns=2, knowledge=1)


@pytest.mark.parametrize("kind", ["bpe", "unigram", "characters", "words"])
def test_nothing_is_longer_than_the_limit_and_a_turn_more_would_be(kind: Kind) -> None:
    cut = tokenizer(kind)
    history = [Turn("user" if n % 2 else "system", WORDS[: 3 + 5 * (n % 7)]) for n in range(12)]
    for limit in range(8, 120, 7):
        source = HistoryCutter(cut, limit).fit((), history, "user")
        assert len(cut.encode(source)) <= limit
        kept = source.count("<user>") + source.count("<system>") - 1
        assert source.endswith("<user>")
        if kept < len(history):
            assert len(cut.encode(marked_history((), history[-kept - 1 :], "user"))) > limit


def test_too_small_a_limit_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 8"):
        HistoryCutter(tokenizer(), 7)

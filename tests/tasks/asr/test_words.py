from __future__ import annotations

import pytest

from core.ctc.align import TokenSpan
from core.errors import ConfigError
from core.tokenization import TokenizerOptions, TrainedTokenizer, train_tokenizer
from core.tokenization.options import Kind
from tasks.asr.words import Word, group_words, words_of

TEXTS = ["naïve café owners don't say no, they say 42 times no", "東京 is far, is it not?"] * 3
KINDS: tuple[Kind, ...] = ("bpe", "unigram", "characters", "words")


def tokenizer_of(kind: Kind) -> TrainedTokenizer:
    return train_tokenizer(TEXTS, TokenizerOptions(kind=kind, vocab_size=400))


def spans_of(tokens: list[int]) -> list[TokenSpan]:
    """Token k takes the states 10 k to 10 k + 4."""
    return [TokenSpan(token, 10 * place, 10 * place + 4, -1.0) for place, token in enumerate(tokens)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS[:2])
def test_words_are_those_of_the_text(kind: Kind, text: str) -> None:
    tokenizer = tokenizer_of(kind)
    words = words_of(tokenizer, spans_of(tokenizer.encode(text)), 0.04)
    assert [word.text for word in words] == text.split()
    edges = [edge for word in words for edge in (word.start, word.end)]
    assert edges == sorted(edges)


@pytest.mark.parametrize("kind", KINDS)
def test_words_take_the_time_of_their_tokens(kind: Kind) -> None:
    """A word lasts from its first token to its last; a space by itself, as among characters, belongs to none."""
    tokenizer = tokenizer_of(kind)
    first, both = tokenizer.encode("say"), tokenizer.encode("say times")
    spaces = [tokenizer.tokens(tokens)[0] == " " for tokens in (first, both[len(first) :])]
    assert spaces[1] == (kind == "characters")
    assert words_of(tokenizer, spans_of(both), 0.5) == [
        Word("say", 0.5 * 10 * spaces[0], 0.5 * (10 * len(first) - 6), -1.0),
        Word("times", 0.5 * 10 * (len(first) + spaces[1]), 0.5 * (10 * len(both) - 6), -1.0),
    ]


@pytest.mark.parametrize("kind", ["characters", "words"])
def test_unknown_tokens_are_shown_and_other_specials_are_not(kind: Kind) -> None:
    tokenizer = tokenizer_of(kind)
    tokens = [tokenizer.specials.bos, *tokenizer.encode("say Ж no"), tokenizer.specials.eos]
    assert [word.text for word in words_of(tokenizer, spans_of(tokens), 0.04)] == ["say", "⁇", "no"]


def test_score_is_the_mean_over_states() -> None:
    spans = [TokenSpan(0, 0, 3, -1.0), TokenSpan(1, 5, 6, -5.0), TokenSpan(2, 8, 9, -0.5)]
    words = group_words([b" ab", b"c", b" d"], spans, 0.1)
    assert [(word.text, word.score) for word in words] == [("abc", -2.0), ("d", -0.5)]


def test_character_spread_over_tokens_is_one() -> None:
    letters = [b" ", *(bytes([byte]) for byte in "é".encode())]
    (word,) = group_words(letters, spans_of([0, 1, 2]), 0.1)
    assert word.text == "é"
    assert (word.start, word.end) == pytest.approx((1.0, 2.4))


def test_nothing_gives_nothing() -> None:
    assert group_words([], [], 0.04) == []
    assert group_words([b" "], spans_of([0]), 0.04) == []


def test_shifted_word_is_said_later() -> None:
    assert Word("a", 1.0, 2.0, -3.0).shifted(4.0) == Word("a", 5.0, 6.0, -3.0)


def test_pace_without_time_is_refused() -> None:
    with pytest.raises(ConfigError, match="must be above 0, got 0"):
        group_words([], [], 0.0)

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from core.errors import ConfigError
from core.span.passage import Passage, Window, cut, sentence_spans, whole_words
from core.tokenization import TokenizerOptions, TrainedTokenizer
from core.tokenization.offsets import encode_with_offsets
from core.tokenization.options import Kind, UnicodeForm
from core.tokenization.store import train_tokenizer

TEXTS = (
    "The Cat  sat.\nIt slept; 2\tdays!",
    "Der Café-Besitzer ΣΊΣΥΦΟΣ öffnet “spät”.",
    "e\u0301te\u0301 a\u0308b \u1112\u1161\u11ab ½ \u00a8x ﬁn 𝒳 🙂🏽",
    "  led by   blanks and trailed by them \n\n",
    "İstanbul ǅ ẞ \u200d x",
    "\ud83d\ude42 lone \ud83d here",
)


def make(kind: Kind, lowercase: bool, form: UnicodeForm, collapse: bool) -> TrainedTokenizer:
    options = TokenizerOptions(kind, 400, 1, lowercase=lowercase, unicode_form=form, collapse_whitespace=collapse)
    return train_tokenizer(TEXTS[:4] * 3, options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["bpe", "unigram", "characters", "words"])
@pytest.mark.parametrize("form", ["NFC", "NFKC", "none"])
@pytest.mark.parametrize("lowercase", [False, True])
@pytest.mark.parametrize("collapse", [False, True])
def test_a_token_is_made_from_where_its_offsets_say(
    kind: Kind, form: UnicodeForm, lowercase: bool, collapse: bool
) -> None:
    tokenizer = make(kind, lowercase, form, collapse)
    for text in TEXTS:
        ids, offsets = encode_with_offsets(tokenizer, text)
        assert ids == tokenizer.encode(text)
        assert all(0 <= begin < end <= len(text) for begin, end in offsets)
        assert offsets == sorted(offsets)
        covered = {place for begin, end in offsets for place in range(begin, end)}
        assert all(place in covered for place, letter in enumerate(text) if not letter.isspace())
        for token, (begin, end) in zip(tokenizer.tokens(ids), offsets, strict=True):
            if "\ufffd" not in token and "⁇" not in token and token.strip() and token != "unk":
                assert token.strip() in tokenizer.normalise(text[begin:end]), (text, token, text[begin:end])


def test_offsets_by_hand() -> None:
    tokenizer = make("words", True, "NFC", True)
    text = "  The Cat  sat.\nIt"
    _, offsets = encode_with_offsets(tokenizer, text)
    assert [text[begin:end] for begin, end in offsets] == ["The", "Cat", "sat", ".", "It"]
    assert encode_with_offsets(tokenizer, " \n") == ([], [])


def test_sentences() -> None:
    text = "One sat. Two 3.5 m. (Three) ran?\n\nfour\n"
    assert [text[a:b] for a, b in sentence_spans(text)] == ["One sat.", "Two 3.5 m.", "(Three) ran?", "four"]
    assert sentence_spans("") == sentence_spans(" \n ") == []


@pytest.mark.parametrize(
    ("text", "piece", "words"),
    [
        ("in prokaryotes.", "prokary", "prokaryotes"),
        ("the Freemasonry is", "asonry", "Freemasonry"),
        ("Ulf Hannerz quotes", "Hannerz qu", "Hannerz quotes"),
        ("das Straßenfest", "fest", "Straßenfest"),
        ("well-known", "known", "known"),
        ("in 1990s style", "99", "1990"),
        ("5km away", "5", "5"),
        ("it's", "it", "it"),
        ("東京都に行く", "京都", "京都"),
        ("whole", "whole", "whole"),
        ("none", "", ""),
    ],
)
def test_answers_are_whole_words(text: str, piece: str, words: str) -> None:
    at = text.index(piece)
    start, end = whole_words(text, at, at + len(piece))
    assert text[start:end] == words


def test_a_passage_knows_its_sentences_and_finds_tokens() -> None:
    text = "The Cat sat. It slept."
    passage = Passage.of(text, make("words", False, "NFC", True))
    assert passage.sentences.tolist() == [1, 1, 1, 1, 2, 2, 2]
    assert passage.tokens_of(4, 11) == (1, 2)  # "Cat sat"
    assert passage.tokens_of(5, 6) == (1, 1)  # a letter of "Cat"
    assert passage.tokens_of(3, 4) is None  # the space


@pytest.mark.parametrize(("size", "room", "overlap"), [(0, 5, 2), (5, 5, 2), (6, 5, 2), (23, 5, 4), (100, 7, 0)])
def test_windows_cover_all_and_share_what_they_should(size: int, room: int, overlap: int) -> None:
    windows = list(cut(size, room, overlap))
    assert windows[0][0] == 0
    assert windows[-1][1] == size
    assert all(last - first <= room for first, last in windows)
    for (_, before), (first, _) in pairwise(windows):
        assert before - first == overlap
    # Each span that is no longer than the overlap plus one token is whole in some window.
    for start in range(size - overlap):
        assert any(first <= start and start + overlap < last for first, last in windows)


def test_windows_that_would_not_move_on_are_refused() -> None:
    with pytest.raises(ConfigError, match="overlap repeats 5"):
        list(cut(10, 5, 5))


def test_a_window_leads_back_to_the_text() -> None:
    text = "The Cat sat. It slept."
    passage = Passage.of(text, make("words", False, "NFC", True))
    window = Window(0, 0, passage, first=2, last=6, shift=4)
    places = window.places(4, 5)
    assert places == (6, 7)
    begin, end = window.characters(*places)
    assert text[begin:end] == "It slept"
    assert window.places(1, 3) is None
    assert window.places(5, 6) is None
    assert passage.ids.dtype == np.int32

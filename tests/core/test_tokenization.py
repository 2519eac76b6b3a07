from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from core.errors import CheckpointError, ConfigError, DataError
from core.tokenization import (
    SubwordTokenizer,
    TokenizerOptions,
    TrainedTokenizer,
    load_tokenizer,
    read_tokenizer,
    save_tokenizer,
    train_tokenizer,
)
from core.tokenization.__main__ import main
from core.tokenization.dropout import MergeDropout
from core.tokenization.options import Kind
from core.tokenization.subwords import byte_letters
from tests.contracts.tokenizer import TEXTS, TokenizerContract, trained


class TestSubwords(TokenizerContract):
    options = TokenizerOptions(kind="bpe", vocab_size=300)


class TestSubwordsAsTheyAre(TokenizerContract):
    options = TokenizerOptions(kind="bpe", vocab_size=300, collapse_whitespace=False)


class TestUnigram(TokenizerContract):
    options = TokenizerOptions(kind="unigram", vocab_size=290, unicode_form="NFKC")


class TestCharacters(TokenizerContract):
    options = TokenizerOptions(kind="characters", vocab_size=100, collapse_whitespace=False)
    closed = True


class TestWords(TokenizerContract):
    options = TokenizerOptions(kind="words", vocab_size=100)
    closed = True


SPEAKERS = ("<user>", "<system>")


class TestSubwordsWithSymbols(TokenizerContract):
    options = TokenizerOptions(kind="bpe", vocab_size=300, symbols=SPEAKERS)


class TestUnigramWithSymbols(TokenizerContract):
    options = TokenizerOptions(kind="unigram", vocab_size=290, symbols=SPEAKERS)


class TestCharactersWithSymbols(TokenizerContract):
    options = TokenizerOptions(kind="characters", vocab_size=100, symbols=SPEAKERS)
    closed = True


class TestWordsWithSymbols(TokenizerContract):
    options = TokenizerOptions(kind="words", vocab_size=100, symbols=SPEAKERS)
    closed = True


@pytest.mark.parametrize("kind", ["bpe", "unigram", "characters", "words"])
class TestSymbols:
    TEXTS = ("<user> a cat sits <system> it does", "<user> a dog<system>it <user>", "the cat is there")

    @pytest.fixture
    def tokenizer(self, kind: Kind) -> TrainedTokenizer:
        return train_tokenizer(self.TEXTS * 3, TokenizerOptions(kind=kind, vocab_size=330, symbols=SPEAKERS))

    def test_a_symbol_is_one_token_wherever_it_stands(self, tokenizer: TrainedTokenizer) -> None:
        user, system = map(tokenizer.symbol_id, SPEAKERS)
        for text in self.TEXTS:
            ids = tokenizer.encode(text)
            assert [ids.count(user), ids.count(system)] == [text.count("<user>"), text.count("<system>")]

    def test_it_comes_back_between_single_spaces(self, tokenizer: TrainedTokenizer) -> None:
        assert tokenizer.decode(tokenizer.encode("<user>a cat<system>it <user>")) == "<user> a cat <system> it <user>"

    def test_turns_are_cut_as_they_are_by_themselves(self, tokenizer: TrainedTokenizer) -> None:
        first, second = "<user> a cat sits", "<system> it does"
        assert tokenizer.encode(f"{first} {second}") == tokenizer.encode(first) + tokenizer.encode(second)

    def test_what_is_between_symbols_is_cut_as_without_them(self, tokenizer: TrainedTokenizer) -> None:
        if tokenizer.prefix:
            assert tokenizer.encode("<user> a cat")[1:] == tokenizer.encode("a cat")

    def test_nothing_is_learnt_from_a_symbols_letters(self, tokenizer: TrainedTokenizer) -> None:
        assert not any("user" in piece or "system" in piece for piece in tokenizer.pieces)

    def test_they_are_in_the_state(self, tokenizer: TrainedTokenizer) -> None:
        again = load_tokenizer(json.loads(json.dumps(tokenizer.state())))
        assert again.options == tokenizer.options
        assert again.fingerprint == tokenizer.fingerprint


def test_a_state_from_before_symbols_has_its_fingerprint_still() -> None:
    state = train_tokenizer(TEXTS, BPE).state()
    assert "symbols" not in json.loads(state["options"])
    assert load_tokenizer(state).options == BPE


@pytest.mark.parametrize(
    ("symbols", "reason"),
    [(("a b",), "white space"), (("",), "white space"), (("<a>", "<a>"), "twice"), (("<a>", "<a>b"), "inside")],
)
def test_symbols_that_cannot_be_told_apart_are_refused(symbols: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        TokenizerOptions(symbols=symbols)


def test_symbols_need_collapsed_white_space_and_their_own_case() -> None:
    with pytest.raises(ConfigError, match="collapse_whitespace"):
        TokenizerOptions(symbols=SPEAKERS, collapse_whitespace=False)
    with pytest.raises(ConfigError, match="lowercase"):
        TokenizerOptions(symbols=("<User>",), lowercase=True)


BPE = TokenizerOptions(kind="bpe", vocab_size=300)


def reference_bpe(word: str, merges: list[tuple[str, str]]) -> list[str]:
    """Sennrich et al. 2016, in the paper's own way: each merge in order, over the whole word."""
    parts = list(word)
    for left, right in merges:
        place = 0
        while place < len(parts) - 1:
            if (parts[place], parts[place + 1]) == (left, right):
                parts[place : place + 2] = [left + right]
            place += 1
    return parts


def test_bpe_cuts_as_the_papers_algorithm() -> None:
    tokenizer = trained(BPE)
    assert isinstance(tokenizer, SubwordTokenizer)
    for text in TEXTS:
        expected = [part for word in tokenizer.words(text) for part in reference_bpe(word, tokenizer.merges)]
        assert [tokenizer.pieces[index - 4] for index in tokenizer.encode(text)] == expected


def test_the_first_merge_is_the_most_frequent_pair() -> None:
    tokenizer = trained(BPE)
    assert isinstance(tokenizer, SubwordTokenizer)
    counts = Counter(pair for text in TEXTS for word in tokenizer.words(text) for pair in pairwise(word))
    assert counts[tokenizer.merges[0]] == max(counts.values())


def test_byte_letters_are_those_of_gpt2() -> None:
    from tokenizers.pre_tokenizers import ByteLevel

    assert set(byte_letters()) == set(ByteLevel.alphabet())
    assert sorted(byte_letters().values()) == list(range(256))
    spelt = ByteLevel(add_prefix_space=False).pre_tokenize_str("ß\n")
    assert bytes(byte_letters()[letter] for word, _ in spelt for letter in word) == "ß\n".encode()


def test_words_below_the_minimum_frequency_are_unknown() -> None:
    tokenizer = train_tokenizer(["a b b c c c"], TokenizerOptions(kind="words", vocab_size=100, min_frequency=2))
    assert tokenizer.pieces == (" c", " b")
    assert tokenizer.encode("c a b") == [4, 3, 5]
    assert tokenizer.decode([4, 3, 5]) == "c ⁇ b"


def test_words_split_punctuation_off_and_put_it_back() -> None:
    tokenizer = train_tokenizer(["(well-known), isn't it?"], TokenizerOptions(kind="words", min_frequency=1))
    ids = tokenizer.encode("(well-known), isn't it?")
    assert tokenizer.tokens(ids) == [" (", "well", "-", "known", ")", ",", " isn", "'", "t", " it", "?"]
    assert tokenizer.decode(ids) == "(well-known), isn't it?"


def test_the_largest_vocabulary_keeps_the_most_frequent_characters() -> None:
    tokenizer = train_tokenizer(["aaabbc"], TokenizerOptions(kind="characters", vocab_size=6, min_frequency=1))
    assert tokenizer.pieces == ("a", "b")
    assert tokenizer.decode(tokenizer.encode("abc")) == "ab⁇"


def test_normalisation_is_recorded_in_the_state() -> None:
    options = TokenizerOptions(kind="characters", lowercase=True, unicode_form="NFKC", min_frequency=1)
    tokenizer = load_tokenizer(train_tokenizer(["Ab ﬁ"], options).state())
    assert tokenizer.options == options
    assert tokenizer.normalise("  AB\u00a0\tﬁ ") == "ab fi"


@pytest.mark.parametrize(("text", "expected"), [("a\ud800b", "a\ufffdb"), ("\ud83d\ude00", "😀")])
def test_lone_surrogates_are_replaced(text: str, expected: str) -> None:
    tokenizer = trained(BPE)
    assert tokenizer.decode(tokenizer.encode(text)) == expected


def test_too_small_a_text_is_warned_about_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        tokenizer = train_tokenizer(["a b"], TokenizerOptions(kind="bpe", vocab_size=1000))
    assert len(tokenizer) == 260  # bytes and specials: nothing occurs twice
    assert [record.getMessage() for record in caplog.records] == [
        "the text is too small for tokenizer.vocab_size=1000: 260 types came out"
    ]


@pytest.mark.parametrize("kind", ["bpe", "unigram", "characters", "words"])
def test_nothing_to_learn_from_is_refused(kind: str) -> None:
    with pytest.raises(DataError, match="needs text"):
        train_tokenizer(["", "  "], TokenizerOptions(kind=kind))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["unigram", "words", "characters", "bpe"])
def test_one_letter_is_enough_to_learn_from(kind: str) -> None:
    tokenizer = train_tokenizer(["a"], TokenizerOptions(kind=kind, min_frequency=1))  # type: ignore[arg-type]
    assert tokenizer.decode(tokenizer.encode("a")) == "a"


def test_contradicting_options_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"vocab_size must be at least 260 for kind 'bpe', got 100"):
        TokenizerOptions(vocab_size=100)
    with pytest.raises(ConfigError, match="min_frequency must be at least 1, got 0"):
        TokenizerOptions(min_frequency=0)


@pytest.mark.parametrize(
    "state",
    [{}, {"kind": "spaces", "options": "{}"}, {"kind": "bpe", "options": "{}"}, {"kind": "words", "options": "["}],
)
def test_a_state_that_is_none_is_refused(state: dict[str, str]) -> None:
    with pytest.raises(CheckpointError, match="not the state of a tokenizer"):
        load_tokenizer(state)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"fingerprint": "0"}', '"text"'])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(CheckpointError):
        read_tokenizer(tmp_path / "t.json")
    with pytest.raises(CheckpointError, match="no such file"):
        read_tokenizer(tmp_path / "none.json")


class TestDropout:
    def test_without_dropout_it_is_bpe(self) -> None:
        tokenizer = trained(BPE)
        assert isinstance(tokenizer, SubwordTokenizer)
        dropout = MergeDropout(tokenizer, 0.0, seed=1)
        for text in TEXTS:
            assert [i for word in dropout.words(text) for i in dropout.cut(word, 0)] == tokenizer.encode(text)

    def test_symbols_stay_whole(self) -> None:
        tokenizer = train_tokenizer(TEXTS, replace(BPE, symbols=SPEAKERS))
        assert isinstance(tokenizer, SubwordTokenizer)
        dropout = MergeDropout(tokenizer, 0.9, seed=1)
        ids = [index for word in dropout.words("<user> a cat<system>") for index in dropout.cut(word, 0)]
        assert tokenizer.decode(ids) == "<user> a cat <system>"
        assert [ids[0], ids[-1]] == [tokenizer.symbol_id("<user>"), tokenizer.symbol_id("<system>")]

    def test_whatever_is_dropped_the_text_stays(self) -> None:
        tokenizer = trained(BPE)
        assert isinstance(tokenizer, SubwordTokenizer)
        for p in (0.1, 0.5, 0.999):
            dropout = MergeDropout(tokenizer, p, seed=1)
            ids = [i for word in dropout.words(TEXTS[1]) for i in dropout.cut(word, 3)]
            assert tokenizer.decode(ids) == TEXTS[1]

    def test_a_word_is_cut_in_many_ways_and_always_in_the_same_ones(self) -> None:
        tokenizer = trained(BPE)
        assert isinstance(tokenizer, SubwordTokenizer)
        word = tokenizer.words("the")[0]
        cuts = [MergeDropout(tokenizer, 0.5, seed=1).cut(word, variant) for variant in range(40)]
        assert len(set(cuts)) > 2
        assert cuts == [MergeDropout(tokenizer, 0.5, seed=1).cut(word, variant) for variant in range(40)]
        assert cuts != [MergeDropout(tokenizer, 0.5, seed=2).cut(word, variant) for variant in range(40)]

    def test_a_single_merge_is_left_out_with_probability_p(self) -> None:
        tokenizer = SubwordTokenizer(BPE, ["a", "b", "ab"], [("a", "b")])
        dropout = MergeDropout(tokenizer, 0.3, seed=0, variants=4000)
        kept = sum(len(dropout.cut("ab", variant)) == 1 for variant in range(4000)) / 4000
        assert kept == pytest.approx(0.7, abs=0.04)  # more than five standard deviations


class TestCommand:
    def run(self, monkeypatch: pytest.MonkeyPatch, *arguments: str, text: str = "") -> None:
        monkeypatch.setattr(sys, "argv", ["tokenization", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        main()

    def test_train_encode_decode(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "a.txt").write_text("\n".join(TEXTS), "utf-8")
        out = str(tmp_path / "t.json")
        options = ["--kind", "bpe", "--vocab_size", "300", "--output", out]
        self.run(monkeypatch, "train", "--input", str(tmp_path / "a.txt"), *options)
        assert read_tokenizer(out).state() == trained(BPE).state()
        capsys.readouterr()
        self.run(monkeypatch, "encode", "--tokenizer", out, text="über den Hund\n\n")
        ids = capsys.readouterr().out
        assert ids.splitlines()[1] == ""
        self.run(monkeypatch, "decode", "--tokenizer", out, text=ids)
        assert capsys.readouterr().out == "über den Hund\n\n"

    def test_an_error_is_one_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(SystemExit, match=r"^error: .*none\.txt: there is no such file$"):
            self.run(monkeypatch, "train", "--input", str(tmp_path / "none.txt"), "--output", str(tmp_path / "t.json"))

    @pytest.mark.parametrize("line", ["4 x", "4 999"])
    def test_what_is_no_id_is_refused_with_its_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
    ) -> None:
        save_tokenizer(trained(BPE), tmp_path / "t.json")
        with pytest.raises(SystemExit, match=f"^error: standard input:2: not ids below 300: {line}$"):
            self.run(monkeypatch, "decode", "--tokenizer", str(tmp_path / "t.json"), text=f"4 5\n{line}\n")


def test_bpe_is_the_same_in_another_process(tmp_path: Path) -> None:
    program = (
        "import json,sys; from core.tokenization import *; from tests.contracts.tokenizer import TEXTS;"
        "print(train_tokenizer(TEXTS, TokenizerOptions(kind='bpe', vocab_size=300)).fingerprint)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == trained(BPE).fingerprint


def test_the_state_is_readable_json() -> None:
    state = trained(BPE).state()
    assert json.loads(state["options"])["vocab_size"] == 300
    assert len(json.loads(state["pieces"])) == 296

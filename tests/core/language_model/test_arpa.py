from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest

from core.errors import DataError
from core.language_model.arpa import read_arpa, write_arpa
from core.language_model.kneser_ney import estimate
from core.language_model.ngrams import BEGIN
from core.language_model.words import Spelling
from core.tokenization import TokenizerOptions, train_tokenizer
from core.tokenization.options import Kind

TEXTS = ["ab a", "ba", "a b a b", "b\\a", "▁ab", "a <s> b"]
TOKENIZER = train_tokenizer(["a b a b"], TokenizerOptions(kind="characters", vocab_size=20))
SPELLING = Spelling(TOKENIZER)
A, B, SPACE = TOKENIZER.vocabulary["a"], TOKENIZER.vocabulary["b"], TOKENIZER.vocabulary[" "]

GOOD = r"""\data\
ngram 1=6
ngram 2=3

\1-grams:
-99	<s>	-0.5
-1	</s>
-2.5	<unk>
-0.4	a	-0.25
-0.5	b
-0.75	▁

\2-grams:
-0.125	<s> a
-0.3	a </s>
-0.6	a b

\end\
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "lm.arpa"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", ["characters", "words", "bpe"])
@pytest.mark.parametrize("name", ["lm.arpa", "lm.arpa.gz"])
def test_what_is_written_is_read_again_exactly(tmp_path: Path, kind: Kind, name: str) -> None:
    tokenizer = train_tokenizer(TEXTS * 2, TokenizerOptions(kind=kind, vocab_size=300))
    spelling = Spelling(tokenizer)
    model = estimate([tokenizer.encode(text) for text in TEXTS], 3, spelling.types, spelling.eos)
    path = tmp_path / name
    write_arpa(model, path, spelling)
    assert path.read_bytes().startswith(b"\\data\\" if name == "lm.arpa" else b"\x1f\x8b")
    assert read_arpa(path, spelling) == model


@pytest.mark.parametrize("kind", ["characters", "words", "bpe"])
def test_each_token_has_a_word_of_its_own(kind: Kind) -> None:
    tokenizer = train_tokenizer(TEXTS * 2, TokenizerOptions(kind=kind, vocab_size=300))
    spelling = Spelling(tokenizer)
    assert len(spelling.words) == len(spelling.tokens) == len(tokenizer) - 1  # no padding; the beginning for bos
    assert all(word.split() == [word] for word in spelling.tokens)
    assert [spelling.words[token] for token in (BEGIN, tokenizer.specials.eos, tokenizer.specials.unk)] == [
        "<s>",
        "</s>",
        "<unk>",
    ]


def test_characters_are_words_that_a_person_can_read() -> None:
    tokenizer = train_tokenizer(["a b\\", "a b\\▁"], TokenizerOptions(kind="characters", min_frequency=1))
    spelling = Spelling(tokenizer)
    assert spelling.spell(tokenizer.encode("a b")) == "a ▁ b"
    backslash, line = tokenizer.encode("\\▁")
    assert spelling.spell([backslash]) == f"\\{backslash}"
    space = tokenizer.encode("a b")[1]
    assert {spelling.words[line], spelling.words[space]} in ({"▁", f"\\{line}"}, {"▁", f"\\{space}"})


def test_numbers_of_a_file_are_what_the_model_says(tmp_path: Path) -> None:
    model = read_arpa(write(tmp_path, GOOD), SPELLING)
    assert model.order == 2
    assert model.counts() == [6, 3]
    assert model.log_prob(A, (BEGIN,)) == -0.125
    assert model.log_prob(B, (BEGIN,)) == -0.5 - 0.5  # backed off
    assert model.log_prob(B, (BEGIN, A)) == -0.6
    assert model.log_prob(SPACE, (A,)) == -0.25 - 0.75
    assert model.log_prob(A, (B,)) == -0.4  # no back-off is 0
    assert model.log_probs([A, B], SPELLING.eos) == [-0.125, -0.6, -1]


def test_a_token_that_the_file_lacks_is_as_likely_as_an_unknown_one(tmp_path: Path) -> None:
    model = read_arpa(write(tmp_path, GOOD.replace("-0.75	▁\n", "").replace("1=6", "1=5")), SPELLING)
    assert model.log_prob(SPACE, ()) == -2.5


@pytest.mark.parametrize(
    ("found", "put", "message"),
    [
        ("\\data\\", "hello", r"lm.arpa:1: 'hello', but an ARPA file has \\data\\ here"),
        ("ngram 1=6\nngram 2=3\n", "", r"lm.arpa:3: '\\\\1-grams:', but an ARPA file has ngram 1=COUNT here"),
        ("ngram 2", "ngram 3", "lm.arpa:3: 'ngram 3=3', but an ARPA file has ngram 2=COUNT here"),
        ("\\1-grams:", "\\2-grams:", r"lm.arpa:5: .* has \\1-grams: here"),
        ("-2.5	<unk>\n", "", "lm.arpa:12: 5 1-grams end here, but the head of the file announces 6"),
        ("\\end\\\n", "", r"lm.arpa:17: ends before its line \\end\\: the file is cut off"),
        ("-0.5	b", "0.5	b", "lm.arpa:10: log10 of a probability is at most 0, got 0.5"),
        ("-0.5	b", "minus	b", "lm.arpa:10: 'minus' is no logarithm"),
        ("-0.5	b", "nan	b", "lm.arpa:10: 'nan' is no logarithm"),
        ("a	-0.25", "a	-inf", "lm.arpa:9: '-inf' is no logarithm"),
        ("-0.5	b", "-0.5", "lm.arpa:10: '-0.5', but .* log10 of a probability and 1 words, then perhaps a back-off"),
        ("<s> a\n", "<s> a	-0.1\n", "lm.arpa:14: .* log10 of a probability and 2 words here"),
        ("-0.5	b", "-0.5	é", "lm.arpa:10: 'é' is none of the 5 tokens that the checkpoint's tokenizer writes"),
        ("-0.5	b", "-0.5	a", "lm.arpa:10: 'a' stands in the file a second time"),
        ("ngram 2=3", "ngram 2=3\nngram 3=0", r"lm.arpa:19: '\\\\end\\\\', but an ARPA file has \\3-grams: here"),
    ],
)
def test_a_damaged_file_is_told_with_its_line(tmp_path: Path, found: str, put: str, message: str) -> None:
    assert GOOD.count(found) >= 1
    with pytest.raises(DataError, match=message):
        read_arpa(write(tmp_path, GOOD.replace(found, put, 1)), SPELLING)


def test_an_ngram_that_continues_nothing_is_told(tmp_path: Path) -> None:
    text = GOOD.replace("ngram 2=3", "ngram 2=3\nngram 3=1").replace("\\end\\", "\\3-grams:\n-1	b a b\n\n\\end\\")
    with pytest.raises(DataError, match=r"lm.arpa:20: there is no 2-gram 'b a' that this could continue"):
        read_arpa(write(tmp_path, text), SPELLING)


def test_a_model_of_other_tokens_without_an_unknown_one_is_told(tmp_path: Path) -> None:
    text = GOOD.replace("-2.5	<unk>\n", "").replace("-0.75	▁\n", "").replace("1=6", "1=4")
    with pytest.raises(DataError, match=r"lm.arpa: has neither <unk> nor 1 of the 5 tokens .* \(▁\)"):
        read_arpa(write(tmp_path, text), SPELLING)


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none.arpa: there is no such file"):
        read_arpa(tmp_path / "none.arpa", SPELLING)
    with pytest.raises(DataError, match=r"lm.arpa: the file is empty"):
        read_arpa(write(tmp_path, ""), SPELLING)
    (tmp_path / "lm.arpa.gz").write_bytes(gzip.compress(GOOD.encode())[:60])
    with pytest.raises(DataError, match=r"lm.arpa.gz: can't be read"):
        read_arpa(tmp_path / "lm.arpa.gz", SPELLING)
    (tmp_path / "lm.arpa").write_bytes(b"\\data\\\n\xff\n")
    with pytest.raises(DataError, match=r"lm\.arpa:2: not UTF-8"):
        read_arpa(tmp_path / "lm.arpa", SPELLING)


def test_random_damage_never_breaks_the_reader(tmp_path: Path) -> None:
    rng = random.Random(1)
    for _ in range(300):
        data = bytearray(GOOD.encode())
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(data))
            data[place : place + rng.randint(0, 5)] = rng.choice(
                [b"", b"\t", b"\n", b"<s>", b"-", b"9", b"\\", b"\xff"]
            )
        (tmp_path / "lm.arpa").write_bytes(data)
        try:
            read_arpa(tmp_path / "lm.arpa", SPELLING)
        except DataError:
            continue

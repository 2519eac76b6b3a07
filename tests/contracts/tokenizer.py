"""What every tokenizer keeps, whatever its kind."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import CheckpointError
from core.tokenization import TokenizerOptions, TrainedTokenizer, load_tokenizer, read_tokenizer, save_tokenizer
from core.tokenization.store import train_tokenizer

TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "Der schnelle braune Fuchs springt über den faulen Hund!",
    "The dog, 12 years old, isn't lazy; the fox is.",
    "Füchse und Hunde: größer, schöner, schneller.",
) * 3

# Emoji with joiners and skin tones, combining marks, zero-width and bidirectional characters, scripts without spaces,
# the letters that subword packages use as their own signs, and strings that look like specials.
HARD = (
    "👩‍👩‍👧‍👦 👍🏽 🇩🇪",
    "e\u0301 a\u0308\u0323 \u0301",
    "zero\u200bwidth\u200d\ufeff",
    "שלום עולם \u202eمرحبا\u202c",
    "日本語のテキスト",
    "▁ Ġ Ċ ⁇ ##ing @@ </w>",
    "<eos> <pad> <unk> [CLS] <0x0A>  pad  eos",
    "\u2028line\u0085feed\x0c\x00\x7f",
    "  two  spaces\tand\r\ntabs ",
)

# The same test method runs in each subclass: that is what a contract is for.
INHERITED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
texts = st.text(st.characters(blacklist_categories=()) | st.sampled_from(" \t<>eos▁Ġäß\u0301"), max_size=30)


class TokenizerContract:
    """Set `options`; `closed` says that characters beyond the training text are unknown."""

    options: ClassVar[TokenizerOptions]
    closed: ClassVar[bool] = False

    @pytest.fixture
    def tokenizer(self) -> TrainedTokenizer:
        return trained(self.options)

    def known(self, tokenizer: TrainedTokenizer, text: str) -> bool:
        return not self.closed or tokenizer.specials.unk not in tokenizer.encode(text)

    @pytest.mark.parametrize("text", [*TEXTS[:4], *HARD, ""])
    def test_round_trip(self, tokenizer: TrainedTokenizer, text: str) -> None:
        if self.known(tokenizer, text):
            assert tokenizer.decode(tokenizer.encode(text)) == tokenizer.normalise(text)

    def test_the_training_text_is_known(self, tokenizer: TrainedTokenizer) -> None:
        for text in TEXTS:
            assert tokenizer.decode(tokenizer.encode(text)) == tokenizer.normalise(text)

    @INHERITED
    @given(text=texts)
    def test_round_trip_of_any_text(self, text: str) -> None:
        tokenizer = trained(type(self).options)
        if self.known(tokenizer, text):
            assert tokenizer.decode(tokenizer.encode(text)) == tokenizer.normalise(text)

    @INHERITED
    @given(text=texts)
    def test_normalising_twice_changes_nothing_more(self, text: str) -> None:
        once = self.options.normalise(text)
        assert self.options.normalise(once) == once

    @INHERITED
    @given(text=texts)
    def test_text_never_becomes_a_control_token(self, text: str) -> None:
        ids = trained(type(self).options).encode(text)
        assert not {0, 1, 2} & set(ids)
        assert self.closed or 3 not in ids

    @pytest.mark.parametrize("text", HARD)
    def test_specials_in_text_stay_text(self, tokenizer: TrainedTokenizer, text: str) -> None:
        assert not {0, 1, 2} & set(tokenizer.encode(text))

    def test_specials_have_the_agreed_ids_and_are_not_written(self, tokenizer: TrainedTokenizer) -> None:
        specials = tokenizer.specials
        assert (specials.pad, specials.bos, specials.eos, specials.unk) == (0, 1, 2, 3)
        ids = tokenizer.encode("the dog")
        assert tokenizer.decode([1, *ids, 2, 0, 0]) == tokenizer.normalise("the dog")
        assert tokenizer.decode([3]) == "⁇"

    def test_empty_text_has_no_ids(self, tokenizer: TrainedTokenizer) -> None:
        assert tokenizer.encode("") == []
        assert tokenizer.decode([]) == ""

    def test_a_batch_equals_its_texts_one_by_one(self, tokenizer: TrainedTokenizer) -> None:
        many = [*TEXTS, *HARD, ""]
        assert tokenizer.encode_batch(many) == [tokenizer.encode(text) for text in many]

    def test_ids_are_within_the_vocabulary(self, tokenizer: TrainedTokenizer) -> None:
        assert len(tokenizer) == len(tokenizer.vocabulary) <= self.options.vocab_size
        assert all(0 <= index < len(tokenizer) for text in HARD for index in tokenizer.encode(text))

    def test_any_ids_can_be_decoded(self, tokenizer: TrainedTokenizer) -> None:
        text = tokenizer.decode(list(range(len(tokenizer))))
        text.encode("utf-8")  # broken characters are replaced, not surrogates

    def test_training_is_deterministic(self, tokenizer: TrainedTokenizer) -> None:
        assert train_tokenizer(TEXTS, self.options).state() == tokenizer.state()

    def test_a_file_gives_it_back(self, tokenizer: TrainedTokenizer, tmp_path: Path) -> None:
        save_tokenizer(tokenizer, tmp_path / "t.json")
        again = read_tokenizer(tmp_path / "t.json")
        assert again.state() == tokenizer.state()
        assert type(again) is type(tokenizer)
        assert [again.encode(text) for text in (*TEXTS, *HARD)] == [tokenizer.encode(text) for text in (*TEXTS, *HARD)]

    def test_the_state_is_plain_data(self, tokenizer: TrainedTokenizer) -> None:
        file = io.BytesIO()
        torch.save(tokenizer.state(), file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
        assert all(type(value) is str for value in state.values())
        assert load_tokenizer(state).encode(TEXTS[1]) == tokenizer.encode(TEXTS[1])

    def test_the_fingerprint_tells_tokenizers_apart(self, tokenizer: TrainedTokenizer) -> None:
        other = train_tokenizer([*TEXTS, "Quite another text, quite another vocabulary."] * 2, self.options)
        assert load_tokenizer(tokenizer.state()).fingerprint == tokenizer.fingerprint
        assert other.fingerprint != tokenizer.fingerprint

    def test_a_changed_file_is_refused(self, tokenizer: TrainedTokenizer, tmp_path: Path) -> None:
        path = tmp_path / "t.json"
        save_tokenizer(tokenizer, path)
        path.write_text(path.read_text("utf-8").replace('lowercase\\": false', 'lowercase\\": true'), "utf-8")
        with pytest.raises(CheckpointError, match="changed since"):
            read_tokenizer(path)

    def test_composed_and_decomposed_are_the_same(self, tokenizer: TrainedTokenizer) -> None:
        text = "schöner Füchse"
        assert tokenizer.encode(unicodedata.normalize("NFD", text)) == tokenizer.encode(text)


_TRAINED: dict[TokenizerOptions, TrainedTokenizer] = {}


def trained(options: TokenizerOptions) -> TrainedTokenizer:
    if options not in _TRAINED:  # hypothesis calls a test's body many times
        _TRAINED[options] = train_tokenizer(TEXTS, options)
    return _TRAINED[options]

from __future__ import annotations

import pytest

from core.errors import ConfigError
from core.generation.phrases import Phrases
from core.tokenization import TokenizerOptions, train_tokenizer

TOKENIZER = train_tokenizer(["ein Hund und ein Haus"], TokenizerOptions(kind="words", vocab_size=20, min_frequency=1))


def test_phrases_become_the_tokens_that_the_text_would_have() -> None:
    constraints = Phrases(prefix="ein", forbidden=["und", "ein Haus"], required=["Hund"]).encode(TOKENIZER)
    assert [TOKENIZER.decode(ids) for ids in constraints.prefixes] == ["ein"]
    assert [TOKENIZER.decode(ids) for ids in constraints.forbidden] == ["und", "ein Haus"]
    assert [[TOKENIZER.decode(ids) for ids in phrases] for phrases in constraints.required] == [["Hund"]]


def test_no_phrases_are_no_constraints() -> None:
    constraints = Phrases().encode(TOKENIZER)
    assert (constraints.prefixes, constraints.forbidden, constraints.required) == ((), (), ())


def test_an_empty_phrase_is_named() -> None:
    with pytest.raises(ConfigError, match=r"model\.phrases\.forbidden has an empty phrase, ' '"):
        Phrases(forbidden=[" "]).encode(TOKENIZER)

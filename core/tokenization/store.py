"""Training a tokenizer of any kind, and keeping it in a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from core.atomic import write_text
from core.errors import CheckpointError, DataError
from core.tokenization.options import TokenizerOptions
from core.tokenization.pretrained import PretrainedTokenizer
from core.tokenization.subwords import SubwordTokenizer, UnigramTokenizer
from core.tokenization.symbols import CharacterTokenizer, WordTokenizer
from core.tokenization.trained import TrainedTokenizer

_log = logging.getLogger(__name__)

CLASSES: dict[str, type[TrainedTokenizer]] = {
    "bpe": SubwordTokenizer,
    "unigram": UnigramTokenizer,
    "characters": CharacterTokenizer,
    "words": WordTokenizer,
    "pretrained": PretrainedTokenizer,
}


def train_tokenizer(texts: Iterable[str], options: TokenizerOptions) -> TrainedTokenizer:
    """Learns a tokenizer; the same texts and options give the same one.

    Warns where the texts are too few for `vocab_size`.

    Raises:
        DataError: there is no text in the texts.
        CheckpointError: a pretrained tokenizer can't be read.
    """
    if options.kind == "pretrained":
        return PretrainedTokenizer.train((), options)
    kind = CLASSES[options.kind]
    parts = (part for text in texts for part in options.parts(options.normalise(text)))
    prepared = (kind.prefix + part for part in parts if part not in options.symbols)
    first = next(prepared, None)
    if first is None:
        raise DataError("a tokenizer needs text to learn from, and all of it is empty")
    tokenizer = kind.train(chain([first], prepared), options)
    if options.kind in ("bpe", "unigram") and len(tokenizer) < options.vocab_size:
        _log.warning(
            "the text is too small for tokenizer.vocab_size=%d: %d types came out", options.vocab_size, len(tokenizer)
        )
    return tokenizer


def load_tokenizer(state: dict[str, str]) -> TrainedTokenizer:
    """Makes the tokenizer that gave this state.

    Raises:
        CheckpointError: the state isn't one of a tokenizer, or is damaged.
    """
    try:
        return CLASSES[state["kind"]].from_state(state, TokenizerOptions.from_plain(json.loads(state["options"])))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"this is not the state of a tokenizer, or it is damaged: {error!r}") from error


def save_tokenizer(tokenizer: TrainedTokenizer, path: str | Path) -> None:
    """Writes a tokenizer to a JSON file: whole or not at all.

    Raises:
        StorageError: it can't be written.
    """
    content = tokenizer.state() | {"fingerprint": tokenizer.fingerprint}
    write_text(path, json.dumps(content, ensure_ascii=False, indent=1))


def read_tokenizer(path: str | Path) -> TrainedTokenizer:
    """Reads a tokenizer from a JSON file.

    Raises:
        CheckpointError: the file is missing, isn't a tokenizer's, or was changed since it was written.
    """
    try:
        state = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: there is no such file; python -m core.tokenization train makes one") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a tokenizer's file: {error}") from error
    if not isinstance(state, dict) or "fingerprint" not in state:
        raise CheckpointError(f"{path}: not a tokenizer's file: it has no fingerprint")
    fingerprint = state.pop("fingerprint")
    tokenizer = load_tokenizer(state)
    if tokenizer.fingerprint != fingerprint:
        raise CheckpointError(f"{path}: changed since it was written: {tokenizer.fingerprint}, not {fingerprint}")
    return tokenizer

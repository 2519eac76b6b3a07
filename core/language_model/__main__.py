"""Makes n-gram language models of a checkpoint's target tokens: `python -m core.language_model train --help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from core.data.vocabularies import read_vocabularies
from core.errors import DataError, PolyseqError
from core.language_model.arpa import read_arpa, write_arpa
from core.language_model.kneser_ney import estimate
from core.language_model.texts import cut, texts_of
from core.language_model.words import Spelling

ORDER = 6


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m core.language_model", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser(
        "train", help="estimate a model (interpolated modified Kneser-Ney), and write it as ARPA"
    )
    train.add_argument("--order", type=int, default=ORDER, help="the longest n-gram, in tokens (%(default)s)")
    train.add_argument("--output", type=Path, required=True, help="the .arpa to write; .arpa.gz is packed")
    perplexity = commands.add_parser("perplexity", help="say how well a model foretells texts")
    perplexity.add_argument("--model", type=Path, required=True, help="an ARPA file of the checkpoint's tokens")
    words = commands.add_parser("words", help="print texts as a model's words, for other tools that write ARPA files")
    for command in (train, perplexity, words):
        command.add_argument(
            "--ckpt_path", type=Path, required=True, help="whose target tokens; a tokenizer's JSON too"
        )
        command.add_argument(
            "--input",
            type=Path,
            nargs="+",
            default=[],
            help="UTF-8 text, a sentence a line; else what it was trained on",
        )
    return parser


def train(arguments: argparse.Namespace) -> None:
    """Estimates a model and writes it."""
    tokenizer = read_vocabularies(arguments.ckpt_path).target
    spelling = Spelling(tokenizer)
    texts = list(cut(texts_of(arguments.input, arguments.ckpt_path), tokenizer))
    model = estimate(texts, arguments.order, spelling.types, spelling.eos)
    write_arpa(model, arguments.output, spelling)
    unknown = sum(text.count(spelling.unk) for text in texts)
    print(
        f"{arguments.output}: {len(texts):,} texts, {sum(map(len, texts)):,} tokens, {unknown:,} of them unknown; "
        f"n-grams by length: {' '.join(f'{count:,}' for count in model.counts())}"
    )


def perplexity(arguments: argparse.Namespace) -> None:
    """Prints what a model makes of texts."""
    tokenizer = read_vocabularies(arguments.ckpt_path).target
    spelling = Spelling(tokenizer)
    model = read_arpa(arguments.model, spelling)
    texts = list(cut(texts_of(arguments.input, arguments.ckpt_path), tokenizer))
    scores = [score for text in texts for score in model.log_probs(text, spelling.eos)]
    if not scores:
        raise DataError("there is no text to foretell")
    total = sum(scores)
    print(
        f"{len(texts):,} texts, {len(scores):,} tokens with their ends: log10 {total:.2f}, perplexity a token "
        f"{10 ** min(-total / len(scores), 300):.3f}"
    )


def words(arguments: argparse.Namespace) -> None:
    """Prints each text as the words that stand for its tokens in an ARPA file."""
    tokenizer = read_vocabularies(arguments.ckpt_path).target
    spelling = Spelling(tokenizer)
    for text in cut(texts_of(arguments.input, arguments.ckpt_path), tokenizer):
        print(spelling.spell(text))


def main() -> None:
    """Runs the command."""
    arguments = parser().parse_args()
    try:
        {"train": train, "perplexity": perplexity, "words": words}[arguments.command](arguments)
    except PolyseqError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

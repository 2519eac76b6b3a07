r"""The ARPA format of n-gram models: \\data\\, a section for each length, \\end\\ (SRILM's manual, ngram-format(5))."""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterator
from pathlib import Path

from core.atomic import replacing
from core.data.text import iterate_lines
from core.errors import DataError
from core.language_model.ngrams import BEGIN, Context, Gram, NgramModel
from core.language_model.words import UNKNOWN, Spelling

NO_BEGIN = "-99"  # what stands for the probability of <s>, which nobody writes
SHOWN = 60  # characters of a line in an error


def write_arpa(model: NgramModel, path: str | Path, spelling: Spelling) -> None:
    """Writes a model, packed where the name ends in .gz; whole or not at all. Reading gives the same numbers again.

    Raises:
        StorageError: it can't be written.
    """
    text = "".join(f"{line}\n" for line in arpa_lines(model, spelling)).encode("utf-8")
    with replacing(path) as file:
        file.write(gzip.compress(text, mtime=0) if Path(path).suffix == ".gz" else text)


def arpa_lines(model: NgramModel, spelling: Spelling) -> Iterator[str]:
    """The lines of a model's file."""
    yield "\\data\\"
    yield from (f"ngram {size}={count}" for size, count in enumerate(model.counts(), start=1))
    by_length: list[list[Gram]] = [[] for _ in range(model.order)]
    for history, context in model.contexts.items():
        by_length[len(history)] += [(*history, token) for token in context.following]
    by_length[0].append((BEGIN,))
    for size, grams in enumerate(by_length, start=1):
        yield ""
        yield f"\\{size}-grams:"
        for gram in sorted(grams):
            value = NO_BEGIN if gram == (BEGIN,) else repr(model.contexts[gram[:-1]].following[gram[-1]])
            after = model.contexts.get(gram)
            backoff = "" if after is None else f"\t{after.backoff!r}"
            yield f"{value}\t{spelling.spell(gram)}{backoff}"
    yield ""
    yield "\\end\\"


def read_arpa(path: str | Path, spelling: Spelling) -> NgramModel:
    """Reads a model of a tokenizer's tokens, unpacked where the name ends in .gz.

    A token without a unigram of its own has that of <unk>.

    Raises:
        DataError: there is no such file, it isn't an ARPA file or is damaged, or its words aren't the tokenizer's; with
            file and line.
    """
    return _Reader(Path(path), spelling).read()


class _Reader:
    """Reads one file from its beginning to its end."""

    def __init__(self, path: Path, spelling: Spelling) -> None:
        self._path, self._spelling = path, spelling
        self._lines = enumerate(iterate_lines(path), start=1)
        self._number, self._line = 0, ""
        self._contexts: dict[Gram, Context] = {(): Context()}

    def read(self) -> NgramModel:
        if self._next() != "\\data\\":
            raise self._wrong("\\data\\")
        counts = self._counts()
        for size, count in enumerate(counts, start=1):
            self._section(size, count, len(counts))
        if self._line != "\\end\\":
            raise self._wrong("\\end\\ after the last section")
        self._complete()
        return NgramModel(len(counts), self._contexts)

    def _next(self) -> str:
        """The next line that isn't empty, without white space around it."""
        for number, line in self._lines:
            self._number, self._line = number, line.strip(" \t")
            if self._line:
                return self._line
        raise DataError("ends before its line \\end\\: the file is cut off, or no ARPA file", self._path, self._number)

    def _wrong(self, wanted: str) -> DataError:
        shown = self._line if len(self._line) <= SHOWN else self._line[:SHOWN] + "…"
        return DataError(f"{shown!r}, but an ARPA file has {wanted} here", self._path, self._number)

    def _bad(self, message: str) -> DataError:
        return DataError(message, self._path, self._number)

    def _counts(self) -> list[int]:
        """The numbers of n-grams that the file announces, by length; goes on to the first section."""
        counts: list[int] = []
        while found := re.fullmatch(r"ngram\s+(\d+)\s*=\s*(\d+)", self._next()):
            if int(found[1]) != len(counts) + 1:
                raise self._wrong(f"ngram {len(counts) + 1}=COUNT")
            counts.append(int(found[2]))
        if not counts:
            raise self._wrong("ngram 1=COUNT")
        return counts

    def _section(self, size: int, count: int, order: int) -> None:
        """Reads the n-grams of one length; goes on to what stands behind them."""
        if self._line != f"\\{size}-grams:":
            raise self._wrong(f"\\{size}-grams:")
        read = 0
        while not self._next().startswith("\\"):
            self._gram(size, size == order)
            read += 1
        if read != count:
            raise self._bad(f"{read} {size}-grams end here, but the head of the file announces {count}: is it damaged?")

    def _gram(self, size: int, longest: bool) -> None:
        fields = self._line.replace("\t", " ").split(" ")
        fields = [field for field in fields if field]
        if len(fields) not in ((size + 1,) if longest else (size + 1, size + 2)):
            raise self._wrong(
                f"log10 of a probability and {size} words{'' if longest else ', then perhaps a back-off'}"
            )
        value = self._logarithm(fields[0])
        gram = tuple(self._token(word) for word in fields[1 : size + 1])
        if value > 0 and gram != (BEGIN,):
            raise self._bad(f"log10 of a probability is at most 0, got {fields[0]}")
        context = self._contexts.get(gram[:-1])
        if context is None:
            context = self._made(gram[:-1], fields[1:size])
        if gram[-1] in context.following:
            raise self._bad(f"{' '.join(fields[1 : size + 1])!r} stands in the file a second time")
        if gram[-1] != BEGIN:
            context.following[gram[-1]] = value
        if len(fields) == size + 2:
            self._contexts[gram] = Context(backoff=self._logarithm(fields[-1], finite=True))

    def _made(self, history: Gram, words: list[str]) -> Context:
        """The context of a history that came without a back-off, which is 0 then."""
        before = self._contexts.get(history[:-1])
        if history != (BEGIN,) and (before is None or history[-1] not in before.following):
            raise self._bad(f"there is no {len(history)}-gram {' '.join(words)!r} that this could continue")
        return self._contexts.setdefault(history, Context())

    def _logarithm(self, field: str, finite: bool = False) -> float:
        try:
            value = float(field)
        except ValueError:
            value = math.nan
        if math.isnan(value) or value == math.inf or (finite and math.isinf(value)):
            raise self._bad(f"{field!r} is no logarithm")
        return value

    def _token(self, word: str) -> int:
        token = self._spelling.tokens.get(word)
        if token is None:
            raise self._bad(
                f"{word!r} is none of the {len(self._spelling.types)} tokens that the checkpoint's tokenizer writes: "
                "take a model of the same tokens, `python -m core.language_model train` makes one"
            )
        return token

    def _complete(self) -> None:
        """Gives tokens that the file doesn't have the probability of <unk>."""
        unigrams, spelling = self._contexts[()].following, self._spelling
        missing = [token for token in spelling.types if token not in unigrams]
        if spelling.unk in unigrams:
            unigrams |= dict.fromkeys(missing, unigrams[spelling.unk])
        elif lacking := [spelling.words[token] for token in missing if token != spelling.unk]:
            raise DataError(
                f"has neither {UNKNOWN} nor {len(lacking)} of the {len(spelling.types)} tokens that the checkpoint's "
                f"tokenizer can write ({' '.join(lacking[:5])}): take a model of the same tokens",
                self._path,
            )

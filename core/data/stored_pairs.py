"""Pairs of texts that are copied from their corpus once, and mapped into memory from then on.

Letters: N pairs.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from core.data.corpus import Corpus, Split, TextPair, spread_references
from core.data.mapped import CHUNK, ArrayWriter, about_arrays, chunks, make_arrays, mapped
from core.errors import DataError

LAYOUT = 1  # of the files, and of how corpora are read
DTYPES = {"texts": "u1", "ends": "i8", "sources": "u8"}


class StoredPairs(Sequence[TextPair]):
    """Training pairs, one target each, in files: in memory is what is looked at. Processes map the files anew.

    Args:
        folder: where `cached_pairs` put them.
        rows: which of them; None for all. An array, or a folder whose array "rows" has them.
    """

    def __init__(self, folder: Path, rows: NDArray[np.int64] | Path | None = None) -> None:
        self.folder, self.given = folder, rows
        self.about = about_arrays(folder)
        self._texts = mapped(folder, "texts", DTYPES["texts"])
        self._ends = mapped(folder, "ends", DTYPES["ends"])  # of each source and of its target, (2 N,)
        self._sources = mapped(folder, "sources", DTYPES["sources"])  # hashes, ascending
        self._rows = mapped(rows, "rows", "i8") if isinstance(rows, Path) else rows

    def __reduce__(self) -> tuple[type[StoredPairs], tuple[Path, NDArray[np.int64] | Path | None]]:
        return StoredPairs, (self.folder, self.given)  # the maps themselves would be pickled with all that they hold

    def __len__(self) -> int:
        return len(self._ends) // 2 if self._rows is None else len(self._rows)

    @overload
    def __getitem__(self, index: int) -> TextPair: ...

    @overload
    def __getitem__(self, index: slice) -> list[TextPair]: ...

    def __getitem__(self, index: int | slice) -> TextPair | list[TextPair]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        return self._pair(row if self._rows is None else int(self._rows[row]))

    def _pair(self, row: int) -> TextPair:
        begin, middle, end = self._edges(row, row + 1)
        text = self._texts[begin:end].tobytes()
        return TextPair(row, _text(text[: middle - begin]), (_text(text[middle - begin :]),))

    def __iter__(self) -> Iterator[TextPair]:
        if self._rows is not None:
            yield from (self._pair(row) for chunk in chunks(self._rows) for row in map(int, chunk))
            return
        for begin in range(0, len(self), CHUNK):
            edges = self._edges(begin, min(begin + CHUNK, len(self)))
            text = self._texts[edges[0] : edges[-1]].tobytes()
            places = [edge - edges[0] for edge in edges]
            for row in range(len(edges) // 2):
                first, middle, last = places[2 * row : 2 * row + 3]
                yield TextPair(begin + row, _text(text[first:middle]), (_text(text[middle:last]),))

    def _edges(self, begin: int, end: int) -> list[int]:
        """Where the texts of some pairs are: 2 (end - begin) + 1 places, each text's end the next one's beginning."""
        ends: list[int] = self._ends[max(2 * begin - 1, 0) : 2 * end].tolist()
        return ends if begin else [0, *ends]

    @property
    def ids(self) -> list[int]:
        """The pairs' numbers."""
        return list(range(len(self))) if self._rows is None else self._rows.tolist()

    def select(self, rows: NDArray[np.int64] | Path) -> StoredPairs:
        """Some of all pairs, with their numbers."""
        return StoredPairs(self.folder, rows)

    def has_source(self, text: str) -> bool:
        """Whether a text is the source of a pair, as far as 64 bits of a hash tell."""
        wanted = np.uint64(_hash(_bytes(text)))
        place = int(np.searchsorted(self._sources, wanted))
        return place < len(self._sources) and bool(self._sources[place] == wanted)

    @property
    def sources(self) -> StoredTexts:
        """All sources."""
        return StoredTexts(self, "source")

    @property
    def targets(self) -> StoredTexts:
        """All targets."""
        return StoredTexts(self, "target")


class StoredTexts:
    """One side of stored pairs, read anew each time.

    Attributes:
        digest: what `text_digest` gives for these texts.
    """

    def __init__(self, pairs: StoredPairs, side: Literal["source", "target"]) -> None:
        self.pairs, self.side = pairs, side
        self.digest: str = pairs.about[side]

    def __iter__(self) -> Iterator[str]:
        for pair in self.pairs:
            yield pair.source if self.side == "source" else pair.targets[0]


def text_digest(texts: Iterable[str]) -> str:
    """What identifies texts in their order: SHA-256 in hexadecimal digits."""
    if isinstance(texts, StoredTexts):
        return texts.digest
    digest = hashlib.sha256()
    for text in texts:
        digest.update(_bytes(text) + b"\n")
    return digest.hexdigest()


def cached_pairs(corpus: Corpus, split: Split, cache: Path) -> StoredPairs | None:
    """Takes a split's pairs from the cache, or reads them into it, one pair for each target; None without files.

    The key is of the corpus's class and attributes, and each file's path, size and times of change.

    Args:
        corpus: what is read.
        split: of it.
        cache: a directory, made if needed.

    Raises:
        DataError: the data is missing or can't be used.
        StorageError: the cache can't be written.
    """
    files = corpus.files(split)
    if not files:
        return None
    about = [LAYOUT, type(corpus).__module__, type(corpus).__qualname__, split, repr(sorted(vars(corpus).items()))]
    key = hashlib.sha256(json.dumps([about, [_identity(path) for path in files]]).encode()).hexdigest()[:20]
    folder = cache / "pairs" / key
    make_arrays(folder, DTYPES, lambda writer: _write(writer, spread_references(corpus.iterate(split))))
    return StoredPairs(folder)


def _write(writer: ArrayWriter, pairs: Iterable[TextPair]) -> dict[str, Any]:
    """Writes all pairs, and returns the digests of their sides."""
    digests = hashlib.sha256(), hashlib.sha256()
    hashes = array("Q")
    end = 0
    for chunk in chunks(pairs):
        sources, targets = [_bytes(pair.source) for pair in chunk], [_bytes(pair.targets[0]) for pair in chunk]
        for digest, texts in zip(digests, (sources, targets), strict=True):
            digest.update(b"".join(text + b"\n" for text in texts))
        hashes.extend(map(_hash, sources))
        texts = [text for pair in zip(sources, targets, strict=True) for text in pair]
        ends = end + np.cumsum([len(text) for text in texts])
        end = int(ends[-1])
        writer.add("ends", ends)
        writer.add_bytes("texts", b"".join(texts))
    known = np.frombuffer(hashes, dtype=np.uint64).copy() if hashes else np.empty(0, np.uint64)
    known.sort()
    writer.add("sources", known)
    return {side: digest.hexdigest() for side, digest in zip(("source", "target"), digests, strict=True)}


def _identity(path: Path) -> list[str | int]:
    """What tells a file from another one, and from itself after a change."""
    try:
        state = path.stat()
    except (OSError, ValueError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else f"can't be read: {error}"
        raise DataError(reason, path) from error
    return [str(path.resolve()), state.st_size, state.st_mtime_ns, state.st_ctime_ns]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")


def _hash(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")

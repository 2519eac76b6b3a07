"""Corpora that are read while training goes on, by the `datasets` package's streams: they may be larger than memory.

Letters: R ranks.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from core.data.corpus import Corpus, Split, TextPair
from core.data.records import pair_of, parse, told_causes
from core.data.text import decode_line, iterate_bytes
from core.errors import ConfigError, DataError

OnBadExample = Literal["raise", "skip"]
JSON_LINES = (".jsonl", ".json", ".jsonl.gz", ".json.gz")
SUFFIXES = (*JSON_LINES, ".parquet")


class StreamedText(Corpus):
    """JSON lines or Parquet of any size, from local files or from the hub.

    A training example is in memory from when its pool is read until it was trained on; `val` and `test` are read whole.
    The files are shuffled each epoch, and so are the examples of a pool, but no example leaves its pool: a corpus that
    is sorted by something should be shuffled once before.

    Args:
        train: a file or a pattern of files, as in data/train-*.jsonl.gz: .jsonl (one object a line, .gz is unpacked) or
            .parquet; with `hub`, the name of a split.
        val: likewise; None where there is none.
        test: likewise.
        hub: an id on the hub, whose splits these are.
        name: the hub dataset's configuration, where it has several.
        source_column: the source's field; a dot goes into nested ones, as in "translation.en".
        target_column: the target's; it may hold a list, the references, each of which is a training pair.
        shuffle_buffer: the examples of a pool, out of which batches of similar length are made.
        tokenizer_sample: from how many examples at the beginning tokenizers are trained.
        on_bad_example: what happens where a line isn't JSON, or a field isn't text: "raise" ends the run with its
            place, "skip" leaves it out with a warning. Only in training: a score is of the whole split.

    Raises:
        ConfigError: an option is out of its range.
    """

    def __init__(
        self,
        train: str,
        val: str | None = None,
        test: str | None = None,
        hub: str | None = None,
        name: str | None = None,
        source_column: str = "source",
        target_column: str = "target",
        shuffle_buffer: int = 20_000,
        tokenizer_sample: int = 100_000,
        on_bad_example: OnBadExample = "raise",
    ) -> None:
        for option, value in (("shuffle_buffer", shuffle_buffer), ("tokenizer_sample", tokenizer_sample)):
            if value < 1:
                raise ConfigError(f"data.corpus.{option} must be at least 1, got {value}")
        if on_bad_example not in ("raise", "skip"):
            raise ConfigError(f"data.corpus.on_bad_example must be raise or skip, got {on_bad_example!r}")
        self.places: dict[Split, str | None] = {"train": train, "val": val, "test": test}
        self.hub, self.name = hub, name
        self.columns = (source_column, target_column)
        self.shuffle_buffer, self.tokenizer_sample = shuffle_buffer, tokenizer_sample
        self.on_bad_example = on_bad_example

    def read(self, split: Split) -> list[TextPair]:
        """Reads one split, whole, in the order of its files.

        Raises:
            ConfigError: the split has no place.
            DataError: it can't be read, or an example can't be used.
        """
        return list(self.iterate(split))

    def iterate(self, split: Split) -> Iterator[TextPair]:
        """Reads one split in the order of its files, pair by pair."""
        for number, record in enumerate(told(self.stream(split), self.place(split))):
            yield self.pair(record, number, split)

    def head(self) -> list[TextPair]:
        """The examples at the beginning of the training split that tokenizers are trained from.

        Raises:
            DataError: one can't be used, unless these may be skipped.
        """
        records = told(self.stream("train"), self.place("train"))
        pairs = []
        for number, record in enumerate(itertools.islice(records, self.tokenizer_sample)):
            try:
                pairs.append(self.pair(record, number, "train"))
            except DataError:
                if self.on_bad_example == "raise":
                    raise
        return pairs

    def stream(self, split: Split) -> Any:
        """A split as an `IterableDataset` of `datasets`, whose shards are its files.

        Raises:
            ConfigError: the split has no place, or its files are of a kind that isn't known.
            DataError: it can't be opened.
        """
        place = self.place(split)
        if self.hub is not None:
            return _load(place, self.hub, self.name, split=self.places[split])
        paths = self.paths(split)
        if paths[0].endswith(".parquet"):
            return _load(place, "parquet", data_files=paths, split="train")
        from datasets import IterableDataset

        return IterableDataset.from_generator(json_lines, gen_kwargs={"paths": paths})

    def paths(self, split: Split) -> list[str]:
        """The files of a split, in the order of their names; none of a split of the hub.

        Raises:
            ConfigError: their kind isn't known.
            DataError: there are none.
        """
        if self.hub is not None:
            return []
        place = self.place(split)
        found = sorted(glob.glob(place, recursive=True)) or ([place] if Path(place).exists() else [])
        if not found:
            raise DataError("there is no such file", place)
        kinds = {next((suffix for suffix in SUFFIXES if path.endswith(suffix)), Path(path).suffix) for path in found}
        if not kinds <= set(SUFFIXES) or len({kind == ".parquet" for kind in kinds}) > 1:
            raise ConfigError(
                f"data.corpus.{split}: {place} has files that end in {', '.join(sorted(kinds))}: all must be JSON "
                f"lines ({', '.join(JSON_LINES)}), or all .parquet"
            )
        return found

    def shards(self) -> int:
        """Into how many parts the training split can be divided: its files."""
        return len(self.paths("train")) or int(self.stream("train").num_shards)

    def identity(self) -> str:
        """What tells the training data from others: its files' names and sizes, or its name on the hub."""
        files = [f"{Path(path).name} {Path(path).stat().st_size}" for path in self.paths("train")]
        digest = hashlib.sha256("\n".join(files).encode()).hexdigest()[:8]
        return f"{len(files)} files {digest}" if files else f"{self.place('train')} {self.name or ''}".strip()

    def place(self, split: Split) -> str:
        """A split's place for messages.

        Raises:
            ConfigError: it has none.
        """
        place = self.places[split]
        if place is None:
            raise ConfigError(f"the corpus has no {split} split: set data.corpus.{split}")
        return place if self.hub is None else f"{self.hub} ({place})"

    def pair(self, record: dict[str, Any], number: int, split: Split) -> TextPair:
        """Makes a pair of what a stream yields.

        Raises:
            DataError: it isn't JSON, or a field is missing or isn't text.
        """
        if self.hub is not None or "line" not in record or "path" not in record:
            return pair_of(record, number, *self.columns, self.place(split))
        path, line = record["path"], record["line"]
        return pair_of(parse(decode_line(record["text"], path, line), path, line), number, *self.columns, path, line)


def json_lines(paths: list[str]) -> Iterator[dict[str, Any]]:
    """Lines of files that aren't blank, as bytes with their places: what is wrong with them is found later."""
    for path in paths:
        for line, text in enumerate(iterate_bytes(Path(path)), start=1):
            if text.strip():
                yield {"path": path, "line": line, "text": text}


def told(records: Iterable[dict[str, Any]], place: str) -> Iterator[dict[str, Any]]:
    """The same records; turns whatever a foreign format or the network raises into an error that names the place.

    Raises:
        DataError: they can't be read.
    """
    try:
        yield from records
    except DataError:
        raise
    except Exception as error:
        raise DataError(f"datasets can't read it: {told_causes(error)}", place) from error


def _load(place: str, path: str, *names: str | None, **options: Any) -> Any:
    from datasets import load_dataset

    try:
        return load_dataset(path, *names, streaming=True, **options)
    except Exception as error:
        raise DataError(f"datasets can't open it: {told_causes(error)}", place) from error

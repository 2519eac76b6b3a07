"""The built-in corpus: docstrings of Python's standard library and of the installed dependencies.

The body is the document, the first line its summary: real prose by thousands of authors, already on the machine.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from core.data.corpus import Corpus, Split, TextPair, numbered
from core.data.vocabularies import default_cache
from core.errors import ConfigError, DataError
from tasks.summarization.builtin_cache import Stored, cached
from tasks.summarization.docstrings import Document, find_modules, installed, read_documents

SPLITS: tuple[Split, ...] = ("train", "val", "test")
RUN = 6  # words: what is said in more of them is rarely said twice by chance
SHARED = 0.3  # of a document's runs of words: one that has more of them in common with training is a copy

REVISION = 1  # to be raised with every change of what the same docstrings give
SENTENCE = re.compile(r"[A-Z][\w'’-]*(?: [^ ]+)+\.")


@dataclass(frozen=True)
class Lengths:
    """How long documents and summaries are, in words between white space; others are left out.

    Attributes:
        least_source: the fewest of a document.
        most_source: the most of a document.
        least_target: the fewest of a summary.
        most_target: the most of a summary.
    """

    least_source: int = 20
    most_source: int = 200
    least_target: int = 4
    most_target: int = 20

    def __post_init__(self) -> None:
        for side in ("source", "target"):
            least, most = getattr(self, f"least_{side}"), getattr(self, f"most_{side}")
            if not 1 <= least <= most:
                raise ConfigError(f"data.corpus.lengths: 1 <= least_{side} <= most_{side}, got {least} and {most}")


class BuiltInCorpus(Corpus):
    """Docstrings, split by module: the body is the source, the first line the target.

    The same for everybody who has the same versions of Python and of the packages; `stored.about` says which they
    are, with a fingerprint of all files. No document of validation or test has its summary or its text in training,
    nor more than a few runs of words of it.

    Args:
        val: share of the documents that is for validation, before copies are left out.
        test: likewise for the test.
        lengths: of documents and summaries.
        cache_dir: where the corpus is kept; None for $POLYSEQ_CACHE or ~/.cache/polyseq.

    Raises:
        ConfigError: the shares leave nothing for training.
    """

    def __init__(
        self,
        val: float = 0.06,
        test: float = 0.06,
        lengths: Lengths = Lengths(),
        cache_dir: Path | None = None,
    ) -> None:
        if not (val > 0 and test > 0 and val + test < 1):
            raise ConfigError(f"data.corpus.val and data.corpus.test are shares with a sum below 1, got {val}, {test}")
        self.val, self.test, self.lengths = val, test, lengths
        self.cache_dir = cache_dir
        self._stored: Stored | None = None

    @property
    def stored(self) -> Stored:
        """The pairs and what was counted: from the cache, or made."""
        if self._stored is None:
            modules = find_modules()
            files = "\n".join(f"{module.name} {module.size}" for module in modules)
            about = {**installed(), "files": f"{len(modules):,}", "fingerprint": digest(files)[:12]}
            key = digest(f"{REVISION} {self.val} {self.test} {asdict(self.lengths)} {about}")[:20]
            folder = (self.cache_dir or default_cache()) / "docstrings" / key
            self._stored = cached(folder, about, lambda: self.make(each for m in modules for each in read_documents(m)))
        return self._stored

    def read(self, split: Split) -> list[TextPair]:
        """Reads one split, which is made with the others if it isn't in the cache.

        Raises:
            DataError: nothing is left of it: Python came without its sources, say.
        """
        pairs = self.stored.pairs[split]
        if not pairs:
            raise DataError(f"the built-in corpus has no {split} split: {self.stored.told()}")
        return numbered([source for source, _ in pairs], [target for _, target in pairs])

    def make(self, documents: Iterable[Document]) -> tuple[dict[Split, list[tuple[str, str]]], dict[str, int]]:
        """Chooses and splits documents; gives the pairs by split, and how many were left out for what reason."""
        fit: list[Document] = []
        counts: Counter[str] = Counter()
        bodies: set[str] = set()
        for document in documents:
            counts["docstrings"] += 1
            if reason := self._unfit(document, bodies):
                counts[reason] += 1
            else:
                bodies.add(folded(document.body))
                fit.append(document)
        chosen = self.divide(fit)
        for number, split in enumerate(SPLITS[1:], start=1):
            others = [document for other in SPLITS[:number] for document in chosen[other]]
            kept = without_leaks(chosen[split], others)
            counts[f"in another split ({split})"] = len(chosen[split]) - len(kept)
            chosen[split] = kept
        return {split: [(each.body, each.summary) for each in chosen[split]] for split in SPLITS}, dict(counts)

    def divide(self, documents: Sequence[Document]) -> dict[Split, list[Document]]:
        """Splits by module: in an order that follows from the names alone, until validation and test have enough."""
        sizes = Counter(document.module for document in documents)
        room: dict[Split, float] = {"val": self.val * len(documents), "test": self.test * len(documents)}
        splits: dict[str, Split] = {}
        for module in sorted(sizes, key=digest):
            split: Split = "val" if room["val"] > 0 else "test" if room["test"] > 0 else "train"
            splits[module] = split
            room[split] = room.get(split, 0) - sizes[module]
        return {split: [each for each in documents if splits[each.module] == split] for split in SPLITS}

    def _unfit(self, document: Document, bodies: Collection[str]) -> str:
        """Why a document isn't used; empty where it is."""
        source, target = len(document.body.split()), len(document.summary.split())
        if not source or not target:
            return "of one paragraph"
        if not self.lengths.least_source <= source <= self.lengths.most_source:
            return "too short or too long"
        if not self.lengths.least_target <= target <= self.lengths.most_target:
            return "summary too short or too long"
        if not SENTENCE.fullmatch(document.summary):
            return "summary no sentence"
        return "text seen before" if folded(document.body) in bodies else ""


def without_leaks(documents: Sequence[Document], others: Sequence[Document]) -> list[Document]:
    """The documents whose summary no other document has, and whose text is no copy of another's."""
    summaries = {folded(document.summary) for document in others}
    known = {run for document in others for run in runs(document)}

    def new(document: Document) -> bool:
        own = runs(document)
        return folded(document.summary) not in summaries and len(own & known) <= SHARED * len(own)

    return [document for document in documents if new(document)]


def runs(document: Document) -> set[tuple[str, ...]]:
    """The runs of RUN words in a document's text."""
    words = folded(document.body).split()
    return {tuple(words[start : start + RUN]) for start in range(max(len(words) - RUN + 1, 1))}


def folded(text: str) -> str:
    """The words of a text, without regard to case, punctuation and white space."""
    return " ".join(re.findall(r"\w+", text.lower()))


def digest(text: str) -> str:
    """A hash that is the same on all machines."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

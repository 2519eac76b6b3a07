"""Token ids of training pairs that are cut once, and mapped into memory from then on.

Letters: N pairs that are used.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from core.data.encode import Limits, TextDataset, TokenTable, cut_pairs
from core.data.mapped import ArrayWriter, chunks, make_arrays, mapped
from core.data.report import SplitReport
from core.data.stored_pairs import StoredPairs
from core.tokenization import TrainedTokenizer

LAYOUT = 1  # of the files, and of how pairs are cut
SIDES: tuple[Literal["source"], Literal["target"]] = ("source", "target")
OF_SIDE = {"ids": "i4", "lengths": "i4", "ends": "i8"}
DTYPES = {"rows": "i8"} | {f"{side}-{name}": dtype for side in SIDES for name, dtype in OF_SIDE.items()}


class StoredTable(TokenTable):
    """Rows of token ids in files: in memory is what is looked at. Processes map the files anew.

    Args:
        folder: where `cached_tokens` put them.
        side: of the pairs.
    """

    def __init__(self, folder: Path, side: Literal["source", "target"]) -> None:
        self.folder, self.side = folder, side
        self.values, self.lengths, self.ends = (
            mapped(folder, f"{side}-{name}", dtype) for name, dtype in OF_SIDE.items()
        )

    def __reduce__(self) -> tuple[type[StoredTable], tuple[Path, Literal["source", "target"]]]:
        return StoredTable, (self.folder, self.side)


def cached_tokens(
    pairs: StoredPairs,
    source_tokenizer: TrainedTokenizer,
    target_tokenizer: TrainedTokenizer,
    limits: Limits,
    cache: Path,
) -> tuple[TextDataset, SplitReport]:
    """Takes training pairs' token ids from the cache, or cuts them into it: what `encode_pairs` gives, but in files.

    The key is of the pairs' texts, the tokenizers and the limits.

    Args:
        pairs: all of a split.
        source_tokenizer: of the source; without words of its own, whose ids belong to one process.
        target_tokenizer: of the target.
        limits: lengths, and what happens beyond them.
        cache: a directory, made if needed.

    Raises:
        StorageError: the cache can't be written.
    """
    assert source_tokenizer.open_types is None, "ids of own words mean nothing to another process"
    fingerprints = [source_tokenizer.fingerprint, target_tokenizer.fingerprint]
    about = [LAYOUT, pairs.sources.digest, pairs.targets.digest, fingerprints, asdict(limits)]
    folder = cache / "tokens" / hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:20]

    def fill(writer: ArrayWriter) -> dict[str, Any]:
        return asdict(_write(writer, pairs, source_tokenizer, target_tokenizer, limits))

    report = SplitReport(**make_arrays(folder, DTYPES, fill))
    sources, targets = (StoredTable(folder, side) for side in SIDES)
    kept = pairs.select(folder) if report.dropped else pairs
    return TextDataset(kept, sources, targets, target_tokenizer.specials.pad), report


def _write(
    writer: ArrayWriter,
    pairs: Iterable[Any],
    source_tokenizer: TrainedTokenizer,
    target_tokenizer: TrainedTokenizer,
    limits: Limits,
) -> SplitReport:
    """Cuts all pairs, and returns what was counted."""
    report, ends = SplitReport(0), dict.fromkeys(SIDES, 0)
    for chunk in chunks(pairs):
        cut = cut_pairs(chunk, source_tokenizer, target_tokenizer, limits, training=True)
        writer.add("rows", np.array(cut.kept, dtype=np.int64) + report.pairs)
        for side, table in zip(SIDES, (cut.sources, cut.targets), strict=True):
            writer.add(f"{side}-ids", table.values)
            writer.add(f"{side}-lengths", table.lengths)
            writer.add(f"{side}-ends", ends[side] + table.ends)
            ends[side] += len(table.values)
        report += cut.report
    return report

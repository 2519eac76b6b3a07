"""What was read: counted, and told in one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace

from core.columns import aligned
from core.data.corpus import TextPair
from core.data.stored_pairs import StoredPairs


@dataclass(frozen=True)
class SplitReport:
    """The counts of one split.

    Attributes:
        pairs: read from the corpus.
        empty_sources: sources without a token.
        empty_targets: targets without a token.
        overlong_sources: sources beyond the limit.
        overlong_targets: targets beyond the limit.
        dropped: pairs that were left out, for one of these reasons.
        source_tokens: of the pairs that are used, end tokens included.
        target_tokens: likewise.
        seen: pairs whose source is also in the training data.
        batches: of one rank in one epoch.
        waste: the share of padding in the batches.
    """

    pairs: int
    empty_sources: int = 0
    empty_targets: int = 0
    overlong_sources: int = 0
    overlong_targets: int = 0
    dropped: int = 0
    source_tokens: int = 0
    target_tokens: int = 0
    seen: int = 0
    batches: int = 0
    waste: float = 0.0

    def __add__(self, other: SplitReport) -> SplitReport:
        """The counts of two parts of a split together; what is of the whole alone is left as in the first part."""
        counts = [field.name for field in fields(self) if field.name not in ("seen", "batches", "waste")]
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in counts})


def count_seen(pairs: Iterable[TextPair], training: Iterable[TextPair]) -> int:
    """The number of pairs whose source is also a source of the training data."""
    if isinstance(training, StoredPairs):
        return sum(training.has_source(pair.source) for pair in pairs)
    sources = {pair.source for pair in training}
    return sum(pair.source in sources for pair in pairs)


COLUMNS = (
    "split",
    "pairs",
    "dropped",
    "empty",
    "over-long",
    "in train",
    "source tokens",
    "target tokens",
    "batches",
    "padding",
)


def report_table(reports: Mapping[str, SplitReport]) -> str:
    """One line a split; empty and over-long are counted as source/target."""
    rows = [COLUMNS, *(_row(split, report) for split, report in reports.items())]
    return aligned(rows)


def _row(split: str, report: SplitReport) -> tuple[str, ...]:
    return (
        split,
        f"{report.pairs:,}",
        f"{report.dropped:,}",
        f"{report.empty_sources:,}/{report.empty_targets:,}",
        f"{report.overlong_sources:,}/{report.overlong_targets:,}",
        f"{report.seen:,}",
        f"{report.source_tokens:,}",
        f"{report.target_tokens:,}",
        f"{report.batches:,}",
        f"{report.waste:.1%}",
    )

"""What a person reads beside the scores: the model, LEAD and the references in one table, the best and the worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import nan
from textwrap import shorten

from core.columns import aligned
from core.metrics.base import CorpusMetric, Scored
from core.metrics.extraction import Extraction
from core.metrics.rouge import ROUGE, TYPES, SentenceBreak
from tasks.summarization.scoring import SummaryLength, leads, references

MOST = 10
WIDTH = 600  # characters of a document that are shown
BY = "rouge2"


def summary_report(examples: Sequence[Scored], count: int, sentences: SentenceBreak) -> str:
    """A table of the model beside LEAD-n and the references, then summaries with the highest and the lowest ROUGE-2.

    Args:
        examples: with sources, as the metric has them.
        count: n of LEAD-n.
        sentences: where rougeLsum's sentences end.

    Raises:
        DataError: an example has no reference.
    """
    if not examples:
        return ""
    order = ranked(examples, sentences)
    worst = list(reversed(order[-MOST:]))
    sections = [
        comparison(examples, count, sentences),
        f"Best by {BY}\n\n" + "\n".join(_told(*row) for row in order[:MOST]),
        f"Worst by {BY}\n\n" + "\n".join(_told(*row) for row in worst),
    ]
    return "\n\n".join(sections)


def comparison(examples: Sequence[Scored], count: int, sentences: SentenceBreak) -> str:
    """ROUGE, length and what is copied: a line each for the model, for LEAD-n and for the first references."""
    columns = {"model": list(examples), f"LEAD-{count}": leads(examples, count), "reference": references(examples)}
    metrics: tuple[CorpusMetric, ...] = (ROUGE(sentences), SummaryLength(), Extraction())
    names = [*TYPES, "words", *metrics[2].names]
    rows = [["", *names]]
    for system, own in columns.items():
        scores = {name: score.value for metric in metrics for name, score in metric.score(own).items()}
        if system == "reference":  # it would be compared with itself
            scores |= dict.fromkeys(TYPES, nan)
        rows.append([system, *("-" if scores[name] != scores[name] else f"{scores[name]:.1f}" for name in names)])
    return aligned(rows)


def ranked(examples: Sequence[Scored], sentences: SentenceBreak) -> list[tuple[float, float, Scored]]:
    """ROUGE-2 and ROUGE-L of each summary, the best first; those with the same numbers by id."""
    scores = ROUGE(sentences).each(examples)
    two, longest = TYPES.index("rouge2"), TYPES.index("rougeL")
    rows = [(row[two], row[longest], example) for row, example in zip(scores, examples, strict=True)]
    return sorted(rows, key=lambda row: (-row[0], -row[1], row[2].id))


def _told(two: float, longest: float, example: Scored) -> str:
    return "\n".join(_lines(two, longest, example)) + "\n"


def _lines(two: float, longest: float, example: Scored) -> Iterator[str]:
    yield f"{example.id}: rouge2 {two:.1f}, rougeL {longest:.1f}"
    yield f"  document   {shorten(example.source, WIDTH, placeholder=' …')}"
    for reference in example.references:
        yield f"  reference  {' '.join(reference.split())}"
    yield f"  model      {' '.join(example.hypothesis.split())}"

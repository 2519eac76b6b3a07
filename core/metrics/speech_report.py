"""What a speech recogniser gets wrong, for people: by speaker, by utterance, by word, and each alignment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from core.columns import aligned, padded, width_of
from core.metrics.alignment import Alignment, ErrorCounts, Pair, align_words, mark, total
from core.metrics.base import Scored
from core.metrics.normalisers import NormaliserName, make_normaliser
from core.metrics.speech import jiwer_signature

WIDTH = 110
MOST = 20
NO_SPEAKER = "(unknown)"


def write_speech_report(
    path: Path, examples: Sequence[Scored], speakers: Mapping[int, str], normaliser: NormaliserName = "none"
) -> None:
    """Writes `speech_report` to a UTF-8 file, whose folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(speech_report(examples, speakers, normaliser), encoding="utf-8")


def speech_report(examples: Sequence[Scored], speakers: Mapping[int, str], normaliser: NormaliserName = "none") -> str:
    """All that a corpus's word error rate is made of, most important first.

    The rate and how it came about; a table by speaker; the worst utterances; the most frequent confusions, deletions
    and insertions; then each utterance's alignment, with S, D and I below what is wrong (as sclite shows it).

    Args:
        examples: as `WordErrorRate.examples` has them; `source` is shown as the utterance's name.
        speakers: of the examples, by id; those without one stand together as "(unknown)".
        normaliser: of the rate that is explained.

    Raises:
        ConfigError: there is no normaliser of that name.
        DataError: an example has no reference.
    """
    alignments = align_words(examples, make_normaliser(normaliser).apply)
    names = {example.id: _name(example, speakers) for example in examples}
    counts = total(alignments)
    sections = [
        f"WER {counts.rate(counts.errors):.2f} %: {_told(counts)}, {len(alignments):,} utterances\n"
        f"{jiwer_signature(normaliser)}\n",
        "Speakers\n" + speaker_table(alignments, speakers),
        "Worst utterances\n" + (_lines(_worst(alignments, names)) or "none\n"),
        *_frequent(alignments),
        "Alignments\n"
        + "\n".join(f"{names[each.id]}: {_told(each.counts)}\n{side_by_side(each)}" for each in alignments),
    ]
    return "\n".join(sections)


def speaker_table(alignments: Sequence[Alignment], speakers: Mapping[int, str]) -> str:
    """One line a speaker, the highest word error rate first, and one for all; S, D and I in percent of the words."""
    groups: dict[str, list[Alignment]] = {}
    for alignment in alignments:
        groups.setdefault(speakers.get(alignment.id, NO_SPEAKER), []).append(alignment)
    rows = [(speaker, len(group), total(group)) for speaker, group in groups.items()]
    rows.sort(key=lambda row: (-row[2].rate(row[2].errors), row[0]))
    rows.append(("all", len(alignments), total(alignments)))
    heading = ["speaker", "utterances", "words", "WER", "S", "D", "I"]
    return _table([heading, *(_row(*row) for row in rows)])


def side_by_side(alignment: Alignment, width: int = WIDTH) -> str:
    """REF, HYP and Eval lines, the words below each other; long ones go on in further blocks of `width` columns."""
    blocks: list[list[tuple[str, str, str]]] = [[]]
    used = room = width - len("Eval: ")
    for pair in alignment.pairs:
        column = _column(pair)
        used += width_of(column[0]) + 1
        if used > room:
            blocks.append([])
            used = width_of(column[0]) + 1
        blocks[-1].append(column)
    return "\n".join(_block(columns) for columns in blocks[1:] or [[]])


def _block(columns: Sequence[tuple[str, str, str]]) -> str:
    reference, hypothesis, marks = zip(*columns, strict=True) if columns else ((), (), ())
    lines = (("REF:  ", reference), ("HYP:  ", hypothesis), ("Eval: ", marks))
    return _lines((label + " ".join(cells)).rstrip() for label, cells in lines)


def _column(pair: Pair) -> tuple[str, str, str]:
    """A pair and its mark, of equal width; stars stand for a missing word."""
    reference, hypothesis = pair
    width = max(width_of(word) for word in pair if word is not None)
    cells = ["*" * width if word is None else padded(word, width) for word in (reference, hypothesis)]
    return cells[0], cells[1], mark(pair).ljust(width)


def _worst(alignments: Sequence[Alignment], names: Mapping[int, str]) -> Iterator[str]:
    """The utterances with the most errors, and of these the shortest first; none that is right."""
    wrong = [alignment for alignment in alignments if alignment.counts.errors]
    wrong.sort(key=lambda each: (-each.counts.errors, each.counts.length, each.id))
    for alignment in wrong[:MOST]:
        yield f"{names[alignment.id]}: {_told(alignment.counts)}"
        yield f"  REF: {_text(reference for reference, _ in alignment.pairs)}".rstrip()
        yield f"  HYP: {_text(hypothesis for _, hypothesis in alignment.pairs)}".rstrip()


def _frequent(alignments: Sequence[Alignment]) -> Iterator[str]:
    """The three sections on single words, each with the most frequent first."""
    pairs = [pair for alignment in alignments for pair in alignment.pairs]
    wrong = [("S", "Confusions (reference, hypothesis)"), ("D", "Deletions"), ("I", "Insertions")]
    for kind, title in wrong:
        counts = Counter(pair for pair in pairs if mark(pair) == kind)
        ordered = sorted(counts.items(), key=lambda item: (-item[1], [word or "" for word in item[0]]))
        shown = [[" -> ".join(word for word in pair if word is not None), f"{count:,}"] for pair, count in ordered]
        more = f"and {len(shown) - MOST:,} more\n" if len(shown) > MOST else ""
        yield f"{title}\n{_table(shown[:MOST])}{more}"


def _row(speaker: str, utterances: int, counts: ErrorCounts) -> list[str]:
    errors = (counts.errors, counts.substitutions, counts.deletions, counts.insertions)
    return [speaker, f"{utterances:,}", f"{counts.length:,}", *(f"{counts.rate(each):.2f}" for each in errors)]


def _told(counts: ErrorCounts) -> str:
    parts = f"S {counts.substitutions:,}, D {counts.deletions:,}, I {counts.insertions:,}"
    return f"{counts.length:,} words, errors {counts.errors:,} ({parts})"


def _name(example: Scored, speakers: Mapping[int, str]) -> str:
    parts = (str(example.id), speakers.get(example.id, ""), example.source)
    return " ".join(part for part in parts if part)


def _text(words: Iterable[str | None]) -> str:
    return " ".join(word for word in words if word is not None)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart, the first flush left and the others flush right."""
    if not rows:
        return _lines(["none"])
    return f"{aligned(rows)}\n"


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)

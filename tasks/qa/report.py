"""What a person reads beside the scores: where the answers are right, and in which way the others are wrong."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

from core.columns import aligned
from core.metrics.base import Scored
from core.metrics.squad import Version, normalise_answer, scores_of
from tasks.qa.answers import Answer, in_its_sentence
from tasks.qa.corpus import QaExample

SHOWN = 30  # wrong answers, evenly over the split
ASKS = ("who", "whom", "whose", "what", "which", "when", "where", "why", "how many", "how much", "how")
WRONG = {
    "part": "a part of the reference",
    "more": "more than the reference",
    "overlap": "words in common",
    "other": "no word in common",
    "silent": "no word: nothing, an article or a sign",
    "invented": "an answer where there is none",
}


class Answered(NamedTuple):
    """A question, what was answered, and its two scores from 0 to 1."""

    asked: QaExample
    hypothesis: str
    exact: float
    f1: float


def answer_report(examples: Sequence[Scored], asked: Sequence[QaExample], version: Version) -> str:
    """Scores by kind of question, by length of the answer and of the context; how answers are wrong; some of these.

    Args:
        examples: the answers, as the metric has them.
        asked: the questions of their split, by id.
        version: of SQuAD's rules.
    """
    answered = [
        Answered(asked[each.id], each.hypothesis, *scores_of(each.hypothesis, each.references, version))
        for each in examples
    ]
    wrong = [each for each in answered if not each.exact]
    kinds = Counter(error_of(each.hypothesis, each.asked.references) for each in wrong)
    counted = [[text, f"{kinds[kind]:,}"] for kind, text in WRONG.items() if kinds[kind]]
    sections = [_grouped(answered, name, key) for name, key in GROUPS]
    sections.append(aligned([[f"wrong, of {len(answered):,}", f"{len(wrong):,}"], *counted]))
    if wrong:
        chosen = wrong[:: -(-len(wrong) // SHOWN)]
        title = f"{len(chosen)} of the wrong answers, evenly over the split"
        sections.append("\n\n".join([title, *map(_told, chosen)]))
    return "\n\n".join(sections) + "\n"


def error_of(hypothesis: str, references: Sequence[str]) -> str:
    """The kind of a wrong answer, a key of `WRONG`, by the words of the reference that is nearest."""
    said = normalise_answer(hypothesis).split()
    wanted = [words for reference in references if (words := normalise_answer(reference).split())]
    if not said or not wanted:
        return "invented" if said else "silent"
    nearest = max(wanted, key=lambda words: (Counter(said) & Counter(words)).total())
    common = (Counter(said) & Counter(nearest)).total()
    if not common:
        return "other"
    return "part" if common == len(said) else "more" if common == len(nearest) else "overlap"


def asks_for(question: str) -> str:
    """The first question word of a question, or "other"."""
    words = f" {' '.join(question.lower().replace('?', ' ').split())} "
    places = {word: words.find(f" {word} ") for word in ASKS}
    found = [word for word in ASKS if places[word] >= 0]  # "how many" comes before "how"
    return min(found, key=lambda word: places[word], default="other")


def _range(count: int, edges: Sequence[int]) -> tuple[int, str]:
    """The place of the range that a count is in, and its name: "up to 2", "3 to 8", "9 and more", or "2" alone."""
    place = bisect_left(edges, count)
    low = edges[place - 1] + 1 if place else 0
    if place == len(edges):
        return place, f"{low} and more"
    high = edges[place]
    return place, str(high) if low == high else f"{low} to {high}" if low else f"up to {high}"


# Each by a place and a name; groups of the same place go by how often they occur.
GROUPS: tuple[tuple[str, Callable[[Answered], tuple[int, str]]], ...] = (
    ("question", lambda each: (0, asks_for(each.asked.question))),
    ("words of the answer", lambda each: _range(len(each.asked.references[0].split()), (0, 1, 2, 4, 8))),
    ("words of the context", lambda each: _range(len(each.asked.context.split()), (50, 100, 150, 200, 300))),
)


def _grouped(answered: Sequence[Answered], name: str, key: Callable[[Answered], tuple[int, str]]) -> str:
    groups: dict[tuple[int, str], list[Answered]] = {}
    for each in answered:
        groups.setdefault(key(each), []).append(each)
    rows = []
    for (_, group), some in sorted(groups.items(), key=lambda item: (item[0][0], -len(item[1]))):
        exact, f1 = (100 * fmean(scores) for scores in ((each.exact for each in some), (each.f1 for each in some)))
        rows.append([group, f"{len(some):,}", f"{exact:.1f}", f"{f1:.1f}"])
    return aligned([[name, "questions", "exact", "f1"], *rows])


def _told(each: Answered) -> str:
    reference = each.asked.references[0]
    span = each.asked.span
    where = in_its_sentence(Answer(reference, 0.0, *span), each.asked.context) if span else ""
    lines = [f"{each.asked.name}: f1 {100 * each.f1:.0f}", f"  question   {' '.join(each.asked.question.split())}"]
    lines += [f"  reference  {' '.join(text.split()) or '(no answer)'}" for text in each.asked.references]
    lines += [f"  model      {' '.join(each.hypothesis.split()) or '(no answer)'}", f"  context    {where}".rstrip()]
    return "\n".join(lines)

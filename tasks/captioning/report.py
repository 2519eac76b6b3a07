"""What a person may want to read beside the scores: baselines, kinds of images, the best and the worst captions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from core.columns import aligned
from core.metrics.base import Scored

SHOWN = 10  # of the best captions, and of the worst


def caption_report(
    systems: Mapping[str, Mapping[str, float]],
    examples: Sequence[Scored],
    sentences: Sequence[float],
    topics: Sequence[str] = (),
) -> str:
    """Puts it all together.

    Args:
        systems: the scores of the model and of what it is compared with, by name, of the same metric.
        examples: what was scored.
        sentences: CIDEr-D of each example's caption.
        topics: the kind of each image of the split, by id; none where the corpus doesn't say.
    """
    order = sorted(range(len(examples)), key=lambda row: -sentences[row])
    sections = ["Beside captions that saw no image, and those of people\n" + system_table(systems)]
    if topics:
        sections.append("CIDEr-D by kind of image\n" + topic_table(examples, sentences, topics))
    best, worst = order[:SHOWN], order[: -SHOWN - 1 : -1]
    sections += [
        "Best captions\n" + "\n".join(_shown(examples[row], sentences[row]) for row in best),
        "Worst captions\n" + "\n".join(_shown(examples[row], sentences[row]) for row in worst),
    ]
    return "\n\n".join(sections) + "\n"


def system_table(systems: Mapping[str, Mapping[str, float]]) -> str:
    """One line a system, one column a score."""
    names = list(next(iter(systems.values())))
    rows = [["", *names], *([name, *(f"{scores[each]:.1f}" for each in names)] for name, scores in systems.items())]
    return aligned(rows)


def topic_table(examples: Sequence[Scored], sentences: Sequence[float], topics: Sequence[str]) -> str:
    """One line a kind: the mean of its captions' CIDEr-D, whose document frequencies are the whole split's."""
    groups: dict[str, list[float]] = {}
    for example, score in zip(examples, sentences, strict=True):
        groups.setdefault(topics[example.id], []).append(score)
    rows = [[topic, str(len(scores)), f"{fmean(scores):.1f}"] for topic, scores in sorted(groups.items())]
    return aligned([["", "images", "cider_d"], *rows])


def _shown(example: Scored, score: float) -> str:
    references = "\n".join(f"    {text}" for text in example.references)
    return f"{score:7.1f}  {example.source}\n  → {example.hypothesis}\n{references}"

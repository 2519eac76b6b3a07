from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import pytest

from core.errors import DataError
from core.metrics.base import CorpusMetric, Score, Scored
from core.metrics.captions import CocoBLEU
from tasks.captioning.baselines import caption_baselines, constant_caption

TRAINING = [
    ("A dog runs in the park.", "The dog runs."),
    ("A dog runs in the snow.", "Snow, and a dog that runs in it."),
    ("A cat sleeps on a chair.", "The dog runs in the park."),
]
REFERENCES = [("a dog runs", "a dog in the park", "the dog"), ("a bird", "a bird sings", "one bird")]


class Kept(CorpusMetric):
    """Keeps what it was given, and counts it."""

    def __init__(self) -> None:
        super().__init__()
        self.corpora: list[list[Scored]] = []

    @property
    def names(self) -> tuple[str, ...]:
        return ("calls",)

    def score(self, examples: Sequence[Scored]) -> dict[str, Score]:
        self.corpora.append(list(examples))
        return {"calls": Score(float(len(self.corpora)), "calls")}


def test_each_baseline_has_every_number() -> None:
    rows = caption_baselines(TRAINING, REFERENCES, seed=1)
    assert list(rows) == ["constant", "random", "human"]
    names = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider_d"]
    assert all(list(row) == names for row in rows.values())


def test_what_is_scored_against_what() -> None:
    metric = Kept()
    rows = caption_baselines(TRAINING, REFERENCES, seed=1, metric=metric)
    constant, drawn, *rounds = metric.corpora
    assert rows == {"constant": {"calls": 1.0}, "random": {"calls": 2.0}, "human": {"calls": 4.0}}  # (3 + 4 + 5) / 3
    assert {one.hypothesis for one in constant} == {constant_caption(TRAINING)}
    assert {one.hypothesis for one in drawn} <= {text for captions in TRAINING for text in captions}
    assert [one.references for one in constant] == [one.references for one in drawn] == REFERENCES
    assert [(one.hypothesis, one.references) for one in rounds[1]] == [
        ("a dog in the park", ("a dog runs", "the dog")),
        ("a bird sings", ("a bird", "one bird")),
    ]
    for place, examples in enumerate(rounds):
        assert [one.hypothesis for one in examples] == [captions[place] for captions in REFERENCES]


def test_images_may_differ_in_their_references() -> None:
    metric = Kept()
    caption_baselines(TRAINING, [("a dog",), *REFERENCES, ("a fish", "fish")], 1, metric)
    assert [[one.hypothesis for one in examples] for examples in metric.corpora[2:]] == [
        ["a dog runs", "a bird", "a fish"],
        ["a dog in the park", "a bird sings", "fish"],
        ["the dog", "one bird"],
    ]


def test_one_reference_leaves_nothing_to_compare_people_with() -> None:
    assert isnan(caption_baselines(TRAINING, [("a dog",)], 1, CocoBLEU())["human"]["bleu_1"])


def test_random_captions_follow_from_the_seed() -> None:
    drawn = []
    for seed in (1, 1, 2):
        metric = Kept()
        caption_baselines(TRAINING, REFERENCES * 10, seed, metric)
        drawn.append([one.hypothesis for one in metric.corpora[1]])
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_constant_caption_is_the_typical_one() -> None:
    # Each of its n-grams is in another caption too; what is shorter or longer shares fewer with them.
    assert constant_caption(TRAINING) in ("A dog runs in the park.", "The dog runs in the park.")
    assert constant_caption([("one", "a b"), ("x y z", "x y z"), ("x y z",)]) == "x y z"


@pytest.mark.parametrize(("training", "references"), [([], REFERENCES), ([()], REFERENCES), (TRAINING, [])])
def test_nothing_to_draw_from_or_to_score_is_refused(
    training: list[tuple[str, ...]], references: list[tuple[str, ...]]
) -> None:
    with pytest.raises(DataError, match="at least one training caption"):
        caption_baselines(training, references, 1)

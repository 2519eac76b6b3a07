from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from core.errors import ConfigError
from core.images.read import read_image
from core.metrics.base import MetricGroup
from core.metrics.captions import CocoBLEU
from core.metrics.cider import CiderD
from tasks.captioning.baselines import caption_baselines
from tasks.captioning.builtin import SPLITS, BuiltInScenes, training_pairs, unseen_pairs
from tasks.captioning.builtin_scenes import COLOURS, GROUNDS, SHAPES, Scene, Thing, draw_image
from tasks.captioning.builtin_texts import paraphrase, paraphrases

SMALL = BuiltInScenes(60, 20, 30, side=32)
SCENE = Scene(
    "relation", (Thing("star", "red", "large"), Thing("ring", "orange", "small")), 2, "left", "striped"
)  # fmt: skip


def test_the_same_options_give_the_same_corpus() -> None:
    again = BuiltInScenes(60, 20, 30, side=32)
    for split in SPLITS:
        assert again.read(split) == SMALL.read(split)
    assert BuiltInScenes(60, 20, 30, side=32, seed=2).read("test") != SMALL.read("test")
    larger = BuiltInScenes(61, 20, 30, side=32).read("train")
    assert larger[:60] == SMALL.read("train")


def test_training_never_shows_what_is_held_out() -> None:
    train, val, test = ({*training_pairs()}, {*unseen_pairs("val")}, {*unseen_pairs("test")})
    assert len(train) + len(val) + len(test) == len(train | val | test) == len(SHAPES) * len(COLOURS)
    for pairs in (train, val, test):  # each shape and each colour is known, and asked for
        assert {shape for shape, _ in pairs} == set(SHAPES)
        assert {colour for _, colour in pairs} == set(COLOURS)
    shown = {(each.shape, each.colour) for scene in SMALL.scenes("train") for each in scene.things}
    assert shown <= train
    for scene, topic in zip(SMALL.scenes("test"), SMALL.topics("test"), strict=True):
        seen = [(each.shape, each.colour) in train for each in scene.things]
        assert topic == f"{scene.kind} {'seen' if all(seen) else 'unseen'}"
        assert all(seen) or not any(seen)
    assert Counter(topic.split()[1] for topic in SMALL.topics("test")) == {"seen": 15, "unseen": 15}


def test_five_different_captions_name_what_is_there() -> None:
    for example, scene in zip(SMALL.read("train"), SMALL.scenes("train"), strict=True):
        assert len(set(example.captions)) == len(example.captions) == 5
        for caption in example.captions:
            assert caption[0].isupper()
            assert caption.endswith(".")
            for thing in scene.things:
                assert f"{thing.colour} {thing.shape}" in caption
            assert not any(ground in caption for ground in GROUNDS if ground != scene.ground)


def test_the_two_orders_of_a_relation_mean_the_same() -> None:
    texts = {paraphrase(SCENE, Random(number)).lower() for number in range(300)}
    for text in texts:
        first = text.index("red star") < text.index("orange ring")
        assert ("left of" in text or "next to" in text) if first else ("right of" in text or "next to" in text)
    assert any("right of a large red star" in text for text in texts)
    assert not any("a orange" in text or "an red" in text for text in texts)
    several = replace(SCENE, kind="several", things=(Thing("cross", "blue", "small"),), count=3)
    text = " ".join(paraphrases(several, 5, Random(1)))
    assert "blue crosses" in text
    assert "there is" not in text.lower()


@pytest.mark.parametrize("ground", GROUNDS)
def test_an_image_has_its_things_where_they_belong(ground: str) -> None:
    pixels = np.asarray(draw_image(replace(SCENE, ground=ground), 64, Random(3))).astype(int)
    left, right = pixels[:, :32].reshape(-1, 3), pixels[:, 32:].reshape(-1, 3)

    def near(part: np.ndarray[tuple[int, ...], np.dtype[np.int64]], colour: str) -> int:
        return int((np.abs(part - np.array(COLOURS[colour])).max(1) < 20).sum())

    assert near(left, "red") > 150 > 10 > near(left, "orange")
    assert near(right, "orange") > 15 > 10 > near(right, "red")


def test_images_can_be_read() -> None:
    image = read_image(SMALL.read("val")[3].image)
    assert image.size == (32, 32)
    assert image.mode == "RGB"


def test_fresh_captions_are_above_captions_that_saw_nothing() -> None:
    metric = MetricGroup.of(CocoBLEU(), CiderD())
    bound = SMALL.upper_bound("test", metric)
    references = [example.captions for example in SMALL.read("test")]
    baselines = caption_baselines([each.captions for each in SMALL.read("train")], references, 1, metric)
    assert baselines["constant"]["cider_d"] < bound["cider_d"] / 2
    assert baselines["human"]["bleu_4"] < bound["bleu_4"] < 100  # the bound has one reference more


def test_sizes_out_of_range_are_refused() -> None:
    for options in ({"val_size": 0}, {"side": 8}, {"seed": -1}):
        with pytest.raises(ConfigError, match=next(iter(options))):
            BuiltInScenes(**options)

"""Pretrained parts that are frozen, for ever or up to some update, train on two ranks as in one process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from core.encoders.image import ImageEncoder
from core.layers.grid import ProjectionOptions
from tasks.captioning.__main__ import load as captioning
from tasks.mt.__main__ import load as mt
from tests.core.test_pretrained_run import options as text_options
from tests.core.test_pretrained_run import save_bert
from tests.core.tiny import write_corpus
from tests.distributed.runs import STEPS, TRAINING, Tried, furthest, train, unite
from tests.tasks.captioning.tiny import tiny_options as scene_options
from tests.tasks.captioning.tiny import write_scenes

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class TinyPretrained(ImageEncoder):
    """A backbone of one convolution, without the batch norm that those of torchvision train with: it sees a rank."""

    def __init__(self, source_size: int, d_model: int, image_size: int, unfreeze_at: int | None = None) -> None:
        network = nn.Sequential(nn.Conv2d(source_size, 16, 8, stride=8), nn.GroupNorm(4, 16))
        half = (0.5,) * source_size
        projection = ProjectionOptions(dropout=0.0)
        super().__init__(source_size, network, image_size, d_model, projection, (half, half), True, unfreeze_at)


@dataclass(frozen=True)
class Frozen(Tried):
    """A task with a pretrained encoder, and the name of the part that is frozen."""

    part: str


def write_texts(folder: Path) -> None:
    write_corpus(folder)
    save_bert(folder / "bert", dropout=0.0)


def frozen_text(folder: Path) -> list[str]:
    return [*text_options(folder, folder / "bert"), "--model.encoder.freeze=true"]


def frozen_images(folder: Path) -> list[str]:
    options = [option for option in scene_options(folder) if not option.startswith("--model.encoder.")]
    encoder = "tests.distributed.test_frozen.TinyPretrained"
    return [*options, f"--model.encoder={encoder}", "--model.encoder.d_model=32", "--model.encoder.image_size=32"]


TRIED = {
    "text": Frozen("mt", mt, write_texts, frozen_text, "model.encoder.pretrained.model."),
    "image": Frozen("captioning", captioning, write_scenes, frozen_images, "model.encoder.backbone.model."),
}


@pytest.mark.parametrize("name", TRIED)
def test_two_ranks_keep_and_release_what_is_frozen_as_one_process_does(name: str, tmp_path: Path) -> None:
    tried = TRIED[name]
    tried.write(tmp_path)
    parts = {}
    for until in (None, STEPS // 2):
        more = [] if until is None else [f"--model.encoder.unfreeze_at={until}"]
        options = [*tried.options(tmp_path), *TRAINING, *more]
        two = train(tried.task, tried.load, tmp_path / f"two {until}", 2, options)
        with pytest.MonkeyPatch.context() as patch:
            unite(patch, ranks=2)
            one = train(tried.task, tried.load, tmp_path / f"one {until}", 1, options)
        distance, where = furthest(one, two)
        assert distance <= 1e-5, f"unfrozen at {until}: {where} differs by {distance}"
        parts[until] = {key: weight for key, weight in two.items() if key.startswith(tried.part)}
        if until is None:
            assert all(torch.equal(weight, one[key]) for key, weight in parts[until].items()), "it was frozen"
    moved, _ = furthest(parts[None], parts[STEPS // 2])
    assert moved > 1e-3, "weights that stay where they were are equal too"

"""The built-in corpus: scenes of coloured shapes with five captions each, drawn by Pillow as they are read.

Each thing of half of the held-out scenes has a colour that training never shows it in: a model that remembers whole
phrases can't name it, one that composes can.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

from core.data.corpus import Split
from core.data.images import CaptionedImage, ImageCorpus
from core.errors import ConfigError
from core.images.read import ImageRef
from core.metrics.base import CorpusMetric, Scored
from tasks.captioning.builtin_scenes import COLOURS, SHAPES, Scene, draw_image, draw_scene, png
from tasks.captioning.builtin_texts import paraphrase, paraphrases

SPLITS: tuple[Split, ...] = ("train", "val", "test")
CAPTIONS = 5
ROUNDS = 5  # of fresh captions, whose scores are averaged
UNSEEN: dict[Split, int] = {
    "val": 3,
    "test": 1,
}  # how far the colours of the pairs that are held out are shifted against the shapes

Pairs = list[tuple[str, str]]


class BuiltInScenes(ImageCorpus):
    """One thing, several of a kind, or two in a relation, on four backgrounds.

    The same options give the same scenes and captions everywhere. Each held-out split has six pairs of shape and
    colour of its own, of 36.

    Args:
        train_size: how many scenes to draw for training.
        val_size: for validation.
        test_size: for the test.
        side: of the images, in pixels.
        seed: of the choice of scenes and words.

    Raises:
        ConfigError: a size is out of its range.
    """

    def __init__(
        self, train_size: int = 4_000, val_size: int = 300, test_size: int = 600, side: int = 64, seed: int = 1
    ) -> None:
        self.sizes: dict[Split, int] = {"train": train_size, "val": val_size, "test": test_size}
        for split, size in self.sizes.items():
            if size < 1:
                raise ConfigError(f"data.corpus.{split}_size must be at least 1, got {size}")
        if side < 16:
            raise ConfigError(f"data.corpus.side must be at least 16 pixels, got {side}")
        if seed < 0:
            raise ConfigError(f"data.corpus.seed must be at least 0, got {seed}")
        self.side, self.seed = side, seed

    def read(self, split: Split) -> list[CaptionedImage]:
        """Draws one split, whole; ids count from 0."""
        examples = []
        for row, scene in enumerate(self.scenes(split)):
            captions = paraphrases(scene, CAPTIONS, self._random("captions", split, row))
            name = f"{split}-{row:05}.png"
            image = draw_image(scene, self.side, self._random("image", split, row))
            examples.append(CaptionedImage(row, ImageRef(Path(name), png(image)), captions, name))
        return examples

    def scenes(self, split: Split) -> list[Scene]:
        """What the images of a split show, by id: in held-out splits what training has never shown every other time."""
        seen = training_pairs()
        if split == "train":
            return [draw_scene(self._random("scene", split, row), seen, seen) for row in range(self.sizes[split])]
        sources = (unseen_pairs(split), seen)
        return [
            draw_scene(self._random("scene", split, row), sources[row % 2], sources[row % 2])
            for row in range(self.sizes[split])
        ]

    def topics(self, split: Split) -> list[str]:
        """What each image is, by id: its kind, and whether training has shown its pairs: "relation unseen"."""
        seen = set(training_pairs())
        return [
            f"{scene.kind} {'seen' if all((each.shape, each.colour) in seen for each in scene.things) else 'unseen'}"
            for scene in self.scenes(split)
        ]

    def upper_bound(self, split: Split, metric: CorpusMetric) -> dict[str, float]:
        """What fresh captions by the same hand score against the references: as people against other people."""
        scenes = self.scenes(split)
        references = [
            paraphrases(scene, CAPTIONS, self._random("captions", split, row)) for row, scene in enumerate(scenes)
        ]
        totals = dict.fromkeys(metric.names, 0.0)
        for number in range(ROUNDS):
            texts = [paraphrase(scene, self._random(f"fresh {number}", split, row)) for row, scene in enumerate(scenes)]
            rows = enumerate(zip(texts, references, strict=True))
            scores = metric.score([Scored(row, text, targets) for row, (text, targets) in rows])
            totals = {name: total + scores[name].value / ROUNDS for name, total in totals.items()}
        return totals

    def _random(self, what: str, split: Split, row: int) -> Random:
        """Draws of its own for each part of each scene: a larger corpus begins as a smaller one."""
        return Random(f"{what} {split} {row} {self.seed}")  # a string seeds the same everywhere, with no hash()


def unseen_pairs(split: Split) -> Pairs:
    """The shapes and colours that only this held-out split shows together: each shape and each colour once."""
    colours: Sequence[str] = tuple(COLOURS)
    return [(shape, colours[(row + UNSEEN[split]) % len(colours)]) for row, shape in enumerate(SHAPES)]


def training_pairs() -> Pairs:
    """The shapes and colours that training shows together."""
    held_out = {pair for split in UNSEEN for pair in unseen_pairs(split)}
    return [(shape, colour) for shape in SHAPES for colour in COLOURS if (shape, colour) not in held_out]

"""The copy task: the target is the source. Data files that every toolkit reads, the same from the same seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CopyTask:
    """How many pairs, and of what.

    Attributes:
        train: pairs to train on.
        validation: pairs to validate on.
        test: sentences to decode.
        types: how many different words there are.
        shortest: words of the shortest sentence.
        longest: words of the longest sentence.
        seed: of the drawing.
    """

    train: int = 4000
    validation: int = 200
    test: int = 2000
    types: int = 40
    shortest: int = 4
    longest: int = 10
    seed: int = 1

    def write(self, folder: Path) -> dict[str, Path]:
        """Writes train, val and test as aligned files `<split>.src` and `<split>.tgt`, one sentence a line.

        Sentences are drawn uniformly and no sentence stands in two splits, so that nothing can be learnt by heart.

        Returns:
            The files by name, e.g. "train.src".
        """
        draw = random.Random(self.seed)
        words = [f"w{number:02d}" for number in range(self.types)]
        seen: set[tuple[str, ...]] = set()
        files = {}
        folder.mkdir(parents=True, exist_ok=True)
        for split, size in (("train", self.train), ("val", self.validation), ("test", self.test)):
            sentences: list[str] = []
            while len(sentences) < size:
                sentence = tuple(draw.choices(words, k=draw.randint(self.shortest, self.longest)))
                if sentence not in seen:
                    seen.add(sentence)
                    sentences.append(" ".join(sentence))
            for side in ("src", "tgt"):
                files[f"{split}.{side}"] = folder / f"{split}.{side}"
                files[f"{split}.{side}"].write_text("\n".join(sentences) + "\n", encoding="utf-8")
        return files

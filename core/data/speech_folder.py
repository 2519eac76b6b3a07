"""Speech corpora in LibriSpeech's layout (Panayotov et al. 2015; openslr.org/12)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from core.audio.clip import AudioClip
from core.data.corpus import Split, split_path
from core.data.speech import SplitSpeech, Utterance
from core.data.text import read_lines
from core.errors import DataError


class FolderSpeech(SplitSpeech):
    """Folders speaker/chapter/ with sound files and a *.trans.txt, each line of which is a file's name and its text.

    Args:
        train: the training folder, `LibriSpeech/train-clean-100`, say; all that is below it is read.
        val: the validation folder; None where there is none, or `held_out` makes it.
        test: the test folder.
        suffix: what the sound files' names end in.
        held_out: share of the training utterances that is kept for validation, whole speakers.
    """

    def __init__(
        self,
        train: Path | None = None,
        val: Path | None = None,
        test: Path | None = None,
        suffix: str = ".flac",
        held_out: float = 0.0,
    ) -> None:
        super().__init__(held_out)
        self.paths: dict[Split, Path | None] = {"train": train, "val": val, "test": test}
        self.suffix = suffix

    def read_split(self, split: Split) -> list[Utterance]:
        """Reads a split in the order of its files' paths.

        Raises:
            ConfigError: the split has no folder.
            DataError: there is no transcript below it; one is empty or not UTF-8, or has a line without a name.
        """
        folder = Path(split_path(self.paths, split))
        transcripts = sorted(folder.rglob("*.trans.txt"))
        if not transcripts:
            raise DataError("there is no *.trans.txt in it, or below", folder)
        lines = (found for path in transcripts for found in self._lines(path))
        return [
            Utterance(row, AudioClip(path.parent / (name + self.suffix)), text, name, path.parent.parent.name)
            for row, (path, name, text) in enumerate(lines)
        ]

    def _lines(self, path: Path) -> Iterator[tuple[Path, str, str]]:
        for number, line in enumerate(read_lines(path), start=1):
            name, _, text = line.partition(" ")
            if not name:
                raise DataError("a line must begin with the name of a sound file", path, number)
            yield path, name, text

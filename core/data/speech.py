"""What a speech corpus is: utterances, each a sound and its transcript, read by split; and those in manifests."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.audio.clip import AudioClip
from core.data.corpus import Split, split_path
from core.data.records import field_of, parse, text_of
from core.data.tables import CsvCorpus, TsvCorpus, cell, column_number
from core.data.text import read_lines
from core.errors import ConfigError, DataError

Record = Mapping[str, object]


@dataclass(frozen=True)
class Utterance:
    """One example of a speech corpus.

    Attributes:
        id: its number in its split, from 0 in the order of the file.
        audio: where its sound is.
        text: the raw transcript.
        name: what the corpus calls it, or its path as it stands there.
        speaker: who speaks, empty where the corpus doesn't say.
        duration: seconds, as the corpus claims; `check_utterances` finds the truth.
        sample_rate: in Hz, as the corpus claims.
    """

    id: int
    audio: AudioClip
    text: str
    name: str
    speaker: str = ""
    duration: float | None = None
    sample_rate: int | None = None


class SpeechCorpus(ABC):
    """A source of utterances. Choose one in YAML by its class name: `data.corpus: JsonlSpeech`."""

    @abstractmethod
    def read(self, split: Split) -> list[Utterance]:
        """Reads one split, whole, in the order of its file; ids count from 0.

        The sound itself isn't looked at.

        Raises:
            DataError: the corpus is missing or can't be used; with file and line.
        """


class SplitSpeech(SpeechCorpus):
    """A corpus whose validation split may be cut out of its training split.

    Args:
        held_out: share of the training utterances that is kept for validation (`hold_out_utterances`), whole speakers
            where the corpus names them; 0 reads a split of its own.

    Raises:
        ConfigError: the share is out of its range.
    """

    def __init__(self, held_out: float = 0.0) -> None:
        if not 0 <= held_out < 1:
            raise ConfigError(f"data.corpus.held_out must be in [0, 1), got {held_out}")
        self.held_out = held_out

    @abstractmethod
    def read_split(self, split: Split) -> list[Utterance]:
        """Reads a split as it is stored."""

    def read(self, split: Split) -> list[Utterance]:
        """Reads one split, whole, in the order of its file."""
        if split == "test" or not self.held_out:
            return self.read_split(split)
        return hold_out_utterances(self.read_split("train"), self.held_out, held_out=split == "val")


def hold_out_utterances(utterances: Sequence[Utterance], share: float, held_out: bool) -> list[Utterance]:
    """Divides a training split into training and validation utterances, always in the same way.

    All utterances of a speaker stay on one side; where a speaker isn't named, or there is but one, all of a recording
    do. Speakers are taken in the order of a hash of their names until their utterances reach the share.

    Args:
        utterances: all of the training split's.
        share: how much of them is held out, above 0 and below 1; one speaker at the least.
        held_out: return those that are held out (for validation) instead of the others.

    Raises:
        DataError: there is but one recording.
    """
    groups = [utterance.speaker for utterance in utterances]
    if not all(groups) or len(set(groups)) < 2:
        groups = [recording(utterance) for utterance in utterances]
    sizes = Counter(groups)
    if len(sizes) < 2:
        raise DataError(f"data.corpus.held_out={share} needs two speakers or recordings, there is {len(sizes)}")
    order = sorted(sizes, key=lambda group: hashlib.sha256(group.encode("utf-8", "surrogatepass")).digest())
    chosen: set[str] = set()
    for group in order[:-1]:  # one is left for training
        if sum(sizes[each] for each in chosen) < share * len(utterances):
            chosen.add(group)
    return [utterance for utterance, group in zip(utterances, groups, strict=True) if (group in chosen) == held_out]


def recording(utterance: Utterance) -> str:
    """The name of the file that an utterance is in, wherever it is stored; or its own."""
    path = utterance.audio.path
    return utterance.name if path is None else path.name


class ManifestSpeech(SplitSpeech):
    """One file for each split, with a record for each utterance.

    With an offset, or with a column of offsets, an utterance is a segment of its file and the duration is the
    segment's; without, it is the whole file and the duration is a claim that is checked.

    Args:
        train: the training manifest; .gz is unpacked.
        val: the validation manifest; None where there is none, or `held_out` makes it.
        test: the test manifest.
        audio_column: the field with the path of the sound.
        text_column: the transcript's.
        speaker_column: the speaker's; None for "speaker" where a record has it, as for the following.
        duration_column: the seconds'; None for "duration".
        offset_column: the field with the second where the utterance starts in its file; None for "offset".
        sample_rate_column: the field with the rate in Hz; None for "sample_rate".
        audio_folder: where relative paths start; None for the manifest's folder.
        held_out: share of the training utterances that is kept for validation, by speaker.
    """

    def __init__(
        self,
        train: Path | None = None,
        val: Path | None = None,
        test: Path | None = None,
        audio_column: str = "audio",
        text_column: str = "text",
        speaker_column: str | None = None,
        duration_column: str | None = None,
        offset_column: str | None = None,
        sample_rate_column: str | None = None,
        audio_folder: Path | None = None,
        held_out: float = 0.0,
    ) -> None:
        super().__init__(held_out)
        self.paths: dict[Split, Path | None] = {"train": train, "val": val, "test": test}
        self.columns = SpeechColumns(
            audio_column, text_column, speaker_column, duration_column, offset_column, sample_rate_column
        )
        self.audio_folder = audio_folder

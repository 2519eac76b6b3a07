"""What a speech corpus is: utterances, each a sound and its transcript, read by split."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from core.audio.clip import AudioClip
from core.data.corpus import Split
from core.errors import ConfigError, DataError


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

"""What a dialogue is: turns of two speakers, and lines that one of them knows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.data.corpus import Corpus, Split, TextPair, hold_out, split_path
from core.errors import ConfigError

Speaker = Literal["user", "system", "knowledge"]
ReplyOf = Literal["system", "user", "both"]

SYMBOLS: dict[Speaker, str] = {"user": "<user>", "system": "<system>", "knowledge": "<knowledge>"}


@dataclass(frozen=True)
class Turn:
    """What one says.

    Attributes:
        speaker: the user, the system, or "knowledge" for what the system finds out in the middle of a dialogue, as
            the answer of a database.
        text: in plain words.
    """

    speaker: Speaker
    text: str

    @property
    def marked(self) -> str:
        """The text behind its speaker's symbol; symbols that the text itself spells are taken apart."""
        text = self.text
        for symbol in SYMBOLS.values():
            text = text.replace(symbol, f"{symbol[0]} {symbol[1:]}")
        return f"{SYMBOLS[self.speaker]} {text}"


@dataclass(frozen=True)
class Dialogue:
    """A dialogue of a corpus.

    Attributes:
        turns: in their order.
        knowledge: lines of a persona or of knowledge that hold from the beginning.
        first_reply: the first turn that may be learnt as a reply; those before it are history only.
    """

    turns: tuple[Turn, ...]
    knowledge: tuple[str, ...] = ()
    first_reply: int = 1


@dataclass(frozen=True)
class Exchange:
    """A reply, and what stands before it.

    Attributes:
        dialogue: the number of the dialogue in its split.
        knowledge: lines that hold from the beginning.
        history: the turns before the reply, one at least.
        reply: the turn itself.
    """

    dialogue: int
    knowledge: tuple[Turn, ...]
    history: tuple[Turn, ...]
    reply: Turn


def marked_history(knowledge: Sequence[Turn], history: Sequence[Turn], speaker: Speaker) -> str:
    """A source: all turns with their speakers' symbols, and at its end the symbol of who is to reply."""
    return " ".join([*(turn.marked for turn in (*knowledge, *history)), SYMBOLS[speaker]])


def exchanges(dialogues: Sequence[Dialogue], reply_of: ReplyOf) -> list[Exchange]:
    """The replies of the chosen speakers, each with its history; a turn before which nothing was said is none."""
    speakers = ("system", "user") if reply_of == "both" else (reply_of,)
    return [
        Exchange(number, tuple(Turn("knowledge", line) for line in dialogue.knowledge), dialogue.turns[:place], turn)
        for number, dialogue in enumerate(dialogues)
        for place, turn in enumerate(dialogue.turns)
        if place >= max(dialogue.first_reply, 1) and turn.speaker in speakers
    ]


class DialogueCorpus(Corpus):
    """A corpus of dialogues. Choose one in YAML by its class name: `data.corpus: JsonlDialogues`."""

    @abstractmethod
    def dialogues(self, split: Split) -> list[Dialogue]:
        """Reads one split, whole, in the order of its file.

        Raises:
            DataError: the data is missing or can't be used; with file and line.
        """

    def read(self, split: Split) -> list[TextPair]:
        """The system's replies, each with its whole history."""
        return [
            TextPair(number, marked_history(each.knowledge, each.history, each.reply.speaker), (each.reply.text,))
            for number, each in enumerate(exchanges(self.dialogues(split), "system"))
        ]


class FileDialogues(DialogueCorpus):
    """A file of dialogues for each split.

    Args:
        train: the training file; .gz is unpacked.
        val: the validation file; None where there is none, or `held_out` makes it.
        test: the test file.
        held_out: share of the training dialogues that is kept for validation, chosen by a hash of all their turns.

    Raises:
        ConfigError: the share is out of its range.
    """

    def __init__(
        self, train: Path | None = None, val: Path | None = None, test: Path | None = None, held_out: float = 0.0
    ) -> None:
        if not 0 <= held_out < 1:
            raise ConfigError(f"data.corpus.held_out must be in [0, 1), got {held_out}")
        self.paths: dict[Split, Path | None] = {"train": train, "val": val, "test": test}
        self.held_out = held_out

    @abstractmethod
    def parse_file(self, path: Path) -> list[Dialogue]:
        """Reads a file.

        Raises:
            DataError: the file is missing, empty or not UTF-8, or a line can't be used.
        """

    def dialogues(self, split: Split) -> list[Dialogue]:
        """Reads a split, or its share of the training file."""
        if split == "test" or not self.held_out:
            return self.parse_file(Path(split_path(self.paths, split)))
        dialogues = self.parse_file(Path(split_path(self.paths, "train")))
        return hold_out_dialogues(dialogues, self.held_out, held_out=split == "val")


def hold_out_dialogues(dialogues: Sequence[Dialogue], share: float, held_out: bool) -> list[Dialogue]:
    """Divides dialogues as `core.data.corpus.hold_out` divides pairs; equal ones stay together."""
    whole = [
        TextPair(number, "\n".join(turn.text for turn in dialogue.turns), ())
        for number, dialogue in enumerate(dialogues)
    ]
    return [dialogues[pair.id] for pair in hold_out(whole, share, held_out)]

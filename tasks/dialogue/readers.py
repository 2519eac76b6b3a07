"""Dialogues from files: JSON lines of turns, ParlAI text, dialog-bAbI text, and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from core.data.records import field_of, parse, text_of
from core.data.text import read_lines
from core.errors import DataError, did_you_mean
from tasks.dialogue.dialogues import Dialogue, FileDialogues, Speaker, Turn

SPEAKERS: tuple[Speaker, ...] = get_args(Speaker)
NAMES: dict[str, Speaker] = {speaker[0].upper(): speaker for speaker in SPEAKERS} | {
    speaker: speaker for speaker in SPEAKERS
}
PERSONA = re.compile(r"your persona: ?(.*)")


class JsonlDialogues(FileDialogues):
    """One JSON object a line, a dialogue: `{"turns": [["U", "hello"], ["S", "hi"]], "knowledge": ["i am a cook"]}`.

    A turn is a pair of speaker and text, an object `{"speaker": ..., "text": ...}`, or a text alone: then the user
    begins and the two alternate. Speakers are U or user, S or system, K or knowledge. Blank lines are no records.

    Args:
        train: the training file; .gz is unpacked.
        val: the validation file; None where there is none, or `held_out` makes it.
        test: the test file.
        held_out: share of the training dialogues that is kept for validation, chosen by a hash of all their turns.
        turns_column: the field with the turns; a dot goes into nested objects.
        knowledge_column: the field with the lines of a persona or of knowledge; records may lack it.
    """

    def __init__(
        self,
        train: Path | None = None,
        val: Path | None = None,
        test: Path | None = None,
        held_out: float = 0.0,
        turns_column: str = "turns",
        knowledge_column: str = "knowledge",
    ) -> None:
        super().__init__(train, val, test, held_out)
        self.turns_column, self.knowledge_column = turns_column, knowledge_column

    def parse_file(self, path: Path) -> list[Dialogue]:
        """Reads a file."""
        lines = [(number, line) for number, line in enumerate(read_lines(path), start=1) if line.strip()]
        return [self._dialogue(parse(line, path, number), path, number) for number, line in lines]

    def _dialogue(self, record: Mapping[str, object], path: Path, line: int) -> Dialogue:
        turns = field_of(record, self.turns_column, path, line)
        if not isinstance(turns, list) or not turns:
            raise DataError(f"{self.turns_column!r} must be a list of at least one turn", path, line)
        knowledge = record.get(self.knowledge_column) or []
        if not isinstance(knowledge, list):
            raise DataError(f"{self.knowledge_column!r} must be a list of texts", path, line)
        known = tuple(text_of(each, self.knowledge_column, path, line) for each in knowledge)
        return Dialogue(tuple(_turn(each, place, path, line) for place, each in enumerate(turns)), known)


def _turn(value: object, place: int, path: Path, line: int) -> Turn:
    if isinstance(value, str):
        return Turn("system" if place % 2 else "user", value)
    if isinstance(value, Mapping):
        value = [field_of(value, name, path, line) for name in ("speaker", "text")]
    if not isinstance(value, list) or len(value) != 2 or not all(isinstance(each, str) for each in value):
        raise DataError(
            f'turn {place + 1} must be ["U", "a text"], an object with speaker and text, or text', path, line
        )
    name, text = value
    if name not in NAMES:
        raise DataError(
            f"turn {place + 1}: unknown speaker {name!r}{did_you_mean(name, list(NAMES)) or ';'} It is one of "
            f"{', '.join(NAMES)}", path, line
        )  # fmt: skip
    return Turn(NAMES[name], text)


class ParlaiDialogues(FileDialogues):
    r"""ParlAI's text format: `text:hello<TAB>labels:hi|hello there<TAB>episode_done:True`, one exchange a line.

    The text is the user's turn, the first label is the system's. Lines of a text, written as \n, that begin with
    "your persona: " are knowledge; others of several lines stay one turn. An episode ends with episode_done.
    """

    def parse_file(self, path: Path) -> list[Dialogue]:
        """Reads a file."""
        found: list[Dialogue] = []
        turns: list[Turn] = []
        knowledge: list[str] = []
        for number, line in enumerate(read_lines(path), start=1):
            if not line.strip():
                continue
            fields = _parlai_fields(line, path, number)
            known, text = _split_persona(fields["text"])
            knowledge += known
            turns += [Turn("user", text)] if text else []
            turns.append(Turn("system", fields["labels"]))
            if fields.get("episode_done", "").lower() == "true":
                found.append(Dialogue(tuple(turns), tuple(knowledge)))
                turns, knowledge = [], []
        return [*found, Dialogue(tuple(turns), tuple(knowledge))] if turns else found


def _parlai_fields(line: str, path: Path, number: int) -> dict[str, str]:
    fields = dict(part.partition(":")[::2] for part in line.split("\t") if part)
    labels = fields.get("labels", fields.get("eval_labels"))
    if "text" not in fields or labels is None:
        raise DataError(
            "not a line of ParlAI's text format: it needs text:… and labels:… with a tab between", path, number
        )
    return {name: value.replace("\\n", "\n") for name, value in fields.items()} | {"labels": _first_label(labels)}


def _first_label(labels: str) -> str:
    return re.split(r"(?<!\\)\|", labels)[0].replace("\\|", "|").replace("\\n", "\n")


def _split_persona(text: str) -> tuple[list[str], str]:
    lines = text.split("\n")
    persona = [found[1] for line in lines if (found := PERSONA.fullmatch(line.strip()))]
    return persona, "\n".join(line for line in lines if not PERSONA.fullmatch(line.strip())).strip()


class BabiDialogues(FileDialogues):
    """dialog-bAbI's text (Bordes et al. 2017): `1 hello<TAB>hi, what can I do for you`, a blank line between dialogues.

    Lines without a tab are what the system finds in its database: turns of "knowledge". Numbers that begin anew at 1
    begin a dialogue too.
    """

    def parse_file(self, path: Path) -> list[Dialogue]:
        """Reads a file."""
        return [Dialogue(tuple(turns)) for turns in self._blocks(path) if turns]

    def _blocks(self, path: Path) -> Iterator[list[Turn]]:
        turns: list[Turn] = []
        for number, line in enumerate(read_lines(path), start=1):
            found = re.fullmatch(r"(\d+) (.*)", line)
            if found is None and line.strip():
                raise DataError(
                    "a line of dialog-bAbI begins with its number in the dialogue and a space", path, number
                )
            if found is None or found[1] == "1":
                yield turns
                turns = []
            if found is not None:
                turns += _babi_turns(found[2], path, number)
        yield turns


def _babi_turns(text: str, path: Path, number: int) -> list[Turn]:
    if "\t" not in text:
        return [Turn("knowledge", text)]
    cells = text.split("\t")
    if len(cells) != 2:
        raise DataError(f"has {len(cells)} cells between tabs: the user's turn and the system's are two", path, number)
    return [Turn("user", cells[0]), Turn("system", cells[1])]


class TsvDialogues(FileDialogues):
    """A reply and its history in each line: turns with tabs between them, the last one the system's reply.

    The speakers alternate. Only the last turn is learnt, since the others are replies of lines of their own.
    """

    def parse_file(self, path: Path) -> list[Dialogue]:
        """Reads a file."""
        return [_line(line, path, n) for n, line in enumerate(read_lines(path), start=1) if line.strip()]


def _line(line: str, path: Path, number: int) -> Dialogue:
    cells = line.split("\t")
    if len(cells) < 2:
        raise DataError("needs a history and a reply with a tab between them", path, number)
    turns = alternating(cells, last="system")
    return replace(Dialogue(turns), first_reply=len(turns) - 1)


def alternating(texts: Sequence[str], last: Speaker) -> tuple[Turn, ...]:
    """Turns of two speakers in alternation, told by who has the last of them."""
    other: Speaker = "system" if last == "user" else "user"
    speakers = [last if (len(texts) - place) % 2 else other for place in range(len(texts))]
    return tuple(Turn(speaker, text) for speaker, text in zip(speakers, texts, strict=True))

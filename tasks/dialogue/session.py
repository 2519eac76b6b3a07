"""A conversation with a model: what was said, how it replies, and the commands that change both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

import torch
import yaml

from core.batch import TextBatch
from core.data.encode import Limits, close_source
from core.errors import ConfigError, did_you_mean
from core.generation import GenerationOptions
from tasks.dialogue.dialogues import Speaker, Turn
from tasks.dialogue.history import HistoryCutter
from tasks.dialogue.module import DialogueModule, RepetitionOptions, check_repetition

HELP = """\
/help                    this page
/reset                   forget what was said
/undo                    take back your last turn and the reply
/history                 what was said
/persona                 the lines of persona or knowledge; /persona TEXT adds one, /persona clear forgets them
/settings                how replies are written, and what is no longer read of the history
/set NAME VALUE          change a setting; several at once: /set sample=true beam_size=1 temperature=0.8
/quit                    end; so does the end of the input
All other lines are your turns. The same history and the same seed give the same reply: /set seed 2 for another."""


class Session:
    """A conversation in progress.

    Args:
        module: replies; its options change with `/set`.
        limits: how long a history may be.
        speaker: whose turns the model writes.
        knowledge: lines of a persona or of knowledge.
    """

    def __init__(
        self, module: DialogueModule, limits: Limits, speaker: Speaker = "system", knowledge: tuple[str, ...] = ()
    ) -> None:
        tokenizer = module.vocabularies.source
        assert tokenizer is not None
        self.module, self.limits, self.tokenizer = module, limits, tokenizer
        self.cutter = HistoryCutter(tokenizer, limits.source)
        self.speaker: Speaker = speaker
        self.person: Speaker = "system" if speaker == "user" else "user"
        self.turns: list[Turn] = []
        self.knowledge = list(knowledge)
        self.open = True
        self.commands: dict[str, Callable[[str], str]] = {
            "help": lambda rest: HELP,
            "reset": self.reset,
            "undo": self.undo,
            "history": self.history,
            "persona": self.persona,
            "settings": self.settings,
            "set": self.set,
            "quit": self.quit,
        }

    def handle(self, line: str) -> str:
        """Does what a line says, and returns what to show: a reply, or a command's answer."""
        line = line.strip()
        if not line:
            return ""
        if not line.startswith("/"):
            return f"{self.speaker}: {self.say(line)}"
        name, _, rest = line[1:].partition(" ")
        if name not in self.commands:
            hint = did_you_mean(f"/{name}", [f"/{each}" for each in self.commands])
            return f"there is no /{name}{hint or '; /help shows all commands'}"
        return self.commands[name](rest.strip())

    def say(self, text: str) -> str:
        """Takes a turn of the person's, and replies."""
        self.turns.append(Turn(self.person, text))
        ends = self.cutter.report.ends
        source = self.cutter.fit(self._known(), self.turns, self.speaker)
        ids = close_source(self.tokenizer.encode(source), self.limits, self.tokenizer.specials.eos)
        values = torch.tensor([ids], dtype=torch.int64, device=self.module.device)
        best = self.module.write(TextBatch(values, torch.tensor([len(ids)], device=self.module.device)))[0][0]
        reply = self.module.target_tokenizer.decode(list(best.tokens))
        self.turns.append(Turn(self.speaker, reply))
        cut = self.cutter.report.ends > ends
        return (reply or "(nothing)") + (f"\n(only the end of your turn was read: {len(ids)} tokens)" if cut else "")

    def reset(self, rest: str) -> str:
        """Forgets the turns, and keeps the persona."""
        self.turns.clear()
        return "forgotten"

    def undo(self, rest: str) -> str:
        """Takes the last turn and its reply back."""
        if not self.turns:
            return "there is nothing to take back"
        taken = self.turns[-2]
        del self.turns[-2:]
        return f"taken back: {taken.text}"

    def history(self, rest: str) -> str:
        """All turns."""
        lines = [f"{turn.speaker}: {turn.text}" for turn in (*self._known(), *self.turns)]
        return "\n".join(lines) or "nothing was said yet"

    def persona(self, rest: str) -> str:
        """Shows, adds or forgets lines."""
        if rest == "clear":
            self.knowledge.clear()
        elif rest:
            self.knowledge.append(rest)
        return "\n".join(self.knowledge) or "no persona; /persona TEXT adds a line"

    def settings(self, rest: str = "") -> str:
        """All options, those that aren't the usual ones marked, and how much of the history fits."""
        usual = asdict(GenerationOptions()) | asdict(RepetitionOptions())
        lines = [
            f"{'*' if value != usual[name] else ' '} {name} = {yaml_text(value)}"
            for name, value in self._options().items()
        ]
        known = self._known()
        cutter = HistoryCutter(self.tokenizer, self.limits.source)
        cutter.fit(known, self.turns, self.speaker)
        lost, unknown = cutter.report.turns, cutter.report.knowledge
        lines.append(
            f"history: the last {len(self.turns) - lost} of {len(self.turns)} turns and {len(known) - unknown} of "
            f"{len(known)} lines of persona fit into {self.limits.source} tokens"
        )
        return "\n".join(lines)

    def set(self, rest: str) -> str:
        """Changes options; what contradicts itself changes nothing."""
        try:
            self.change(rest)
        except ConfigError as error:
            return f"not changed: {error}"
        return self.changed()

    def change(self, text: str) -> None:
        """Changes options, as `/set` has them.

        Raises:
            ConfigError: a name is unknown, or a value doesn't fit; nothing has changed then.
        """
        changes = parse_changes(text)
        generation, repetition = make_options(self._options() | changes, changes)
        check_repetition(repetition, self.module.vocabularies)
        self.module.generation, self.module.repetition = generation, repetition

    def changed(self) -> str:
        """The options that aren't the usual ones, in one line."""
        usual = asdict(GenerationOptions()) | asdict(RepetitionOptions())
        changed = [f"{name}={yaml_text(value)}" for name, value in self._options().items() if value != usual[name]]
        return "settings: " + (" ".join(changed) or "the usual ones")

    def quit(self, rest: str) -> str:
        """Ends the conversation."""
        self.open = False
        return ""

    def _known(self) -> list[Turn]:
        return [Turn("knowledge", line) for line in self.knowledge]

    def _options(self) -> dict[str, Any]:
        return asdict(self.module.generation) | asdict(self.module.repetition)


def yaml_text(value: object) -> str:
    """A value as it is written in YAML, and after `/set`."""
    return str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)


def parse_changes(text: str) -> dict[str, Any]:
    """Reads `name value`, or any number of `name=value`.

    Raises:
        ConfigError: it is neither.
    """
    words = text.split()
    if len(words) == 2 and not any("=" in word for word in words):
        words = ["=".join(words)]
    if not words or not all("=" in word.strip("=") for word in words):
        raise ConfigError("write /set NAME VALUE, or /set NAME=VALUE NAME=VALUE")
    try:
        return {name: yaml.safe_load(value) for name, _, value in (word.partition("=") for word in words)}
    except yaml.YAMLError:
        raise ConfigError(f"can't read a value of {text!r}: numbers, words, true, false and null are values") from None


def make_options(values: dict[str, Any], changes: dict[str, Any]) -> tuple[GenerationOptions, RepetitionOptions]:
    """Makes both kinds of options of all values by name.

    Raises:
        ConfigError: a name is unknown, a value has the wrong type, or the values contradict each other.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    from core.parser import value_error

    known = {option.name for kind in (GenerationOptions, RepetitionOptions) for option in fields(kind)}
    for name in changes:
        if name not in known:
            raise ConfigError(
                f"there is no setting {name}{did_you_mean(name, sorted(known)) or '; /settings shows all'}"
            )
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(GenerationOptions)
    parser.add_class_arguments(RepetitionOptions)
    try:
        parsed = parser.parse_object(values).as_dict()
    except ArgumentError as error:
        raise ConfigError(value_error(" ".join(str(error).split()))) from None

    def of(kind: type[Any]) -> dict[str, Any]:
        return {option.name: parsed[option.name] for option in fields(kind)}

    return GenerationOptions(**of(GenerationOptions)), RepetitionOptions(**of(RepetitionOptions))

"""The parser of all options, whose errors are one line: which option, what was found, what would be right."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from jsonargparse import ArgumentParser

from core.errors import ConfigError, did_you_mean
from core.recipes import Recipe, option_hint


class Parser(ArgumentParser):
    """Says what is wrong with an option and which one may have been meant, without a page of usage."""

    recipe: Recipe = {}  # noqa: RUF012 (what the command line stands on)

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raises ConfigError."""
        text = NOT_A_FILE.sub("", OPTIONAL_CLASS.sub(r"\1", " ".join(str(message).split())))
        words = [word.strip("'\"`:,.") for word in text.replace("=", " ").split()]
        known = [option for action in self._actions for option in action.option_strings]
        hint = next((found for word in words if word.startswith("--") and (found := did_you_mean(word, known))), "")
        if nested := re.search(r"key \"([\w.]+)\": Option '([\w.]+)' is not accepted", text):
            hint = option_hint(self.recipe, *nested.groups())
            text = "{}: no option is called {}".format(*nested.groups())
        elif grouped := re.search(r"Group '([\w.]+)' does not accept option '([\w.]+)'", text):
            hint = did_you_mean("--" + ".".join(grouped.groups()), known)
        elif named := re.search(r"Parser key \"([\w.]+)\": Expected a dot import path string: (\S+)", text):
            hint = self._class_hint(*named.groups())
            text = "{}: no class is called {}".format(*named.groups())
        raise ConfigError(value_error(text) + hint) from None

    def _class_hint(self, key: str, name: str) -> str:
        hints = [getattr(action, "_typehint", None) for action in self._actions if action.dest == key]
        classes = sorted({found for hint in hints for found in class_names(hint)})
        return did_you_mean(name, classes) or (f"; there are {', '.join(classes)}" if classes else "")


def class_names(hint: Any) -> Iterator[str]:
    """The names of the classes that a type allows: of `Callable[[int], Encoder]`, of `Objective | None`."""
    if isinstance(hint, list | tuple):
        hints: Sequence[Any] = hint
    elif isinstance(hint, type) and hint.__module__ != "builtins":
        if not inspect.isabstract(hint) and not hint.__name__.startswith("_"):
            yield hint.__name__
        hints = hint.__subclasses__()
    else:
        hints = get_args(hint)
    for each in hints:
        yield from class_names(each)


def value_error(text: str) -> str:
    """What jsonargparse says of a value that doesn't fit an option's type, in a user's words; other texts stay."""
    if within := re.match(r"Parser key \"([\w.]+)\": ([\w.]+: must be .*)$", text):
        return ".".join(within.groups())
    if path := CLASS_PATH.match(text):
        key, reason, name = path["key"], path["reason"] or path["why"], path["name"] or path["path"]
        return f"{key}: {name}: {reason.rstrip('.')}"
    found = re.match(r"Parser key \"([\w.]+)\": .*(?:Got value: (\S+)|Given value: (.*))$", text)
    if found is None:
        return text
    key, one, several = found.groups()
    value = one or several
    listed = ",".join(re.findall(r"Literal\[(.*?)\]", text))
    try:
        choices = [str(each) for each in ast.literal_eval(f"[{listed}]")]
    except (SyntaxError, ValueError):  # members of an enumeration, of a user's own class
        return text
    kinds = list(dict.fromkeys(re.findall(r"Expected a <class '([\w.]+)'>", text)))
    if not all(kind in KINDS for kind in kinds) or not (choices or kinds):
        return text
    wanted = [f"one of {', '.join(dict.fromkeys(choices))}"] if choices else []
    wanted += [KINDS[kind] for kind in kinds if not (choices and kind == "int")]
    return f"{key}: must be {' or '.join(wanted)}, got {value}{did_you_mean(value, choices)}"


KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "list": "a list, '[a, b]'",
    "dict": "a mapping, '{a: b}'",
    "NoneType": "null",
}
# Of an option that may be null all types are told; what was wrong with the class is the first.
OPTIONAL_CLASS = re.compile(
    r"Does not validate against any of the Union subtypes Subtypes: \[<class '[\w]+\.[\w.]+'>, <class 'NoneType'>\] "
    r"Errors: - (.*) - Expected a <class 'NoneType'> Given value type: .*$"
)
NOT_A_FILE = re.compile(r"- Expected a path but \w+ either not accessible or invalid - ")  # a bare word is a class
CLASS_PATH = re.compile(
    r"Parser key \"(?P<key>[\w.]+)\": "
    r"(?:Type \S.* expects a function or a callable class: (?P<reason>.*) Got value: .*class_path='(?P<name>[\w.]+)'.*"
    r"|Problem with given class_path '(?P<path>[\w.]+)': (?P<why>.*))$"
)

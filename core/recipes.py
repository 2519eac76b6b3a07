"""Recipes: YAML files one above the other, in which naming another class starts its options anew.

jsonargparse keeps the options of the class before wherever the new class has some of the same name: SGD would train
with AdamW's learning rate and weight decay, a recurrent encoder with the Transformer's dropout.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from core.cli import option_values
from core.errors import ConfigError, did_you_mean

Recipe = dict[str, Any]


def read_recipe(path: str | Path) -> Recipe:
    """Reads a YAML file of options.

    Raises:
        ConfigError: it isn't YAML, or not a mapping of options; with file and line.
    """
    try:
        recipe = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error.reason} at byte {error.start}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise ConfigError(f"{place}: not YAML: {getattr(error, 'problem', None) or error}") from error
    if recipe is not None and not isinstance(recipe, dict):
        raise ConfigError(f"{path}: must have options and their values, `model: ...`, got {type(recipe).__name__}")
    return recipe or {}


def overlay(below: Any, above: Any) -> Any:
    """Lays one recipe over another: options one by one, but those of a class only where it stays the same."""
    if isinstance(above, str) and _names_class(above) and isinstance(below, dict) and "class_path" in below:
        above = {"class_path": above}
    if not isinstance(below, dict) or not isinstance(above, dict) or _other_class(below, above):
        return above
    return below | {key: overlay(below[key], value) if key in below else value for key, value in above.items()}


def overlay_arguments(recipe: Recipe, arguments: Sequence[str], name: str = "") -> Recipe:
    """Lays the classes that a command line names over a recipe; all else that it says comes in its turn."""
    for key, below in recipe.items():
        if isinstance(below, dict):
            path = f"{name}.{key}" if name else key
            for given in [*option_values(arguments, f"--{path}"), *option_values(arguments, f"--{path}.class_path")]:
                above = yaml.safe_load(given)
                if isinstance(above, str) or (isinstance(above, dict) and "class_path" in above):
                    below = overlay(below, above)
            recipe = recipe | {key: overlay_arguments(below, arguments, path) if isinstance(below, dict) else below}
    return recipe


def without_option(arguments: Sequence[str], name: str) -> list[str]:
    """A command line without an option and its values, in both forms."""
    kept = [argument for argument in arguments if not argument.startswith(f"{name}=")]
    return [argument for before, argument in pairwise(["", *kept]) if name not in (before, argument)]


def option_hint(recipe: Recipe, name: str, option: str) -> str:
    """What may have been meant by an option that the class at a place of a recipe ("model.encoder") doesn't have."""
    place: Any = recipe
    for key in name.split("."):
        place = place.get(key) if isinstance(place, dict) else None
    module, _, class_name = str(place.get("class_path") if isinstance(place, dict) else "").rpartition(".")
    if not module:
        return ""
    parameters = inspect.signature(getattr(import_module(module), class_name)).parameters.values()
    options = [each.name for each in parameters if each.default is not each.empty]  # the others aren't the user's
    return did_you_mean(option, options) or f"; {class_name} has {', '.join(options)}"


def _names_class(text: str) -> bool:
    """Whether a value that stands where a class stood is one too, and not a word such as `trainer.strategy: auto`."""
    return "." in text or text[:1].isupper()


def _other_class(below: Recipe, above: Recipe) -> bool:
    """Whether both name a class, and not the same one; a class may go by its bare name."""
    names = [str(recipe.get("class_path", "")).rpartition(".")[2] for recipe in (below, above)]
    return all(names) and names[0] != names[1]

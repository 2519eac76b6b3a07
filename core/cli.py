"""The command line of a task: `python -m tasks.<task> fit|validate|test|predict`, and the task's own commands.

Nothing heavy is imported here: a help page or a misspelt command answers at once, what trains comes in afterwards.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import ConfigError, PolyseqError, StoppedError, did_you_mean

if TYPE_CHECKING:
    from core.task import Task

    Load = Callable[[], Task]

VERBS = {
    "fit": "train; writes runs/<task>/<name>/{best,last}.ckpt",
    "validate": "score a checkpoint on the validation split (--ckpt_path)",
    "test": "score a checkpoint on the test split (--ckpt_path)",
    "predict": "write targets for a file, a directory or standard input (--ckpt_path, --input)",
}

# What logs and pictures meet, and how it is mended; a checkpoint's own error says more.
PLACES = {errno.ENOSPC: "make room and start again", errno.EDQUOT: "make room and start again"} | dict.fromkeys(
    (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG),
    "give a place that can be read and written",
)
LAST = "last"  # as --ckpt_path of `fit`

Command = Callable[[Sequence[str]], None]


def main(task: str, load: Load, commands: Mapping[str, tuple[str, Command]] | None = None) -> None:
    """Runs a task's command line and exits: 0 when all went well, 1 after an error, 2 after a wrong option.

    A training that a signal stopped exits with 128 and the signal's number, 143 for SIGTERM.

    Args:
        task: its name, as in `tasks.<task>` and `configs/<task>`.
        load: imports the task's classes.
        commands: what this task can do beside the four verbs: a line of help and a function of the arguments.
    """
    arguments = sys.argv[1:]
    extra = dict(commands or {})
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage(task, extra))
        return
    verb, rest = arguments[0], arguments[1:]
    try:
        if verb in extra:
            extra[verb][1](rest)
        elif verb in VERBS:
            check_files(verb, rest)
            from core.runner import run

            run(task, verb, rest, load)
        else:
            known = [*VERBS, *extra]
            raise ConfigError(
                f"unknown command {verb!r}{did_you_mean(verb, known) or '; there are ' + ', '.join(known)}"
            )
    except StoppedError as stopped:
        if str(stopped):  # one rank tells it
            print(stopped, file=sys.stderr)
        sys.exit(stopped.code)
    except PolyseqError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except OSError as error:
        mend = PLACES.get(error.errno or 0)
        if mend is None:
            raise
        print(f"error: {error.filename or 'the disk'}: {error.strerror}: {mend}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)


def usage(task: str, commands: Mapping[str, tuple[str, Command]]) -> str:
    """The help page of a task."""
    lines = {**VERBS, **{name: text for name, (text, _) in commands.items()}}
    listed = "\n".join(f"  {name:10} {text}" for name, text in lines.items())
    return (
        f"usage: python -m tasks.{task} COMMAND [--config FILE] [--ckpt_path FILE] [--OPTION VALUE ...]\n\n{listed}\n\n"
        f"All options of a command: python -m tasks.{task} fit --help\n"
        f"Without --config the recipe is configs/{task}/default.yaml; the others in configs/{task}/ say what differs."
    )


def option_values(arguments: Sequence[str], name: str) -> list[str]:
    """The values of an option on a command line, `--name value` and `--name=value`, in order."""
    values = [later for option, later in pairwise(arguments) if option == name]
    return values + [option.partition("=")[2] for option in arguments if option.startswith(name + "=")]


def check_files(verb: str, arguments: Sequence[str]) -> None:
    """Refuses a config or checkpoint that isn't there before anything heavy is imported.

    For `fit` alone `--ckpt_path last` is no file: the run's own last.ckpt, or a fresh start where there is none.

    Raises:
        ConfigError: names the option and the file.
    """
    for name in ("--config", "--ckpt_path"):
        for value in option_values(arguments, name):
            if verb == "fit" and name == "--ckpt_path" and value == LAST:
                continue
            if not Path(value).is_file():
                what = "a .yaml" if name == "--config" else "a .ckpt that `fit` wrote (runs/<task>/<name>/best.ckpt)"
                folder = Path(value).parent
                names = [str(folder / path.name) for path in folder.iterdir()] if folder.is_dir() else []
                hint = did_you_mean(value, names) or f"; give the path of {what}"
                raise ConfigError(f"{name}: there is no file {value}{hint}")

"""`python -m tasks.dialogue fit|validate|test|predict`, and `chat`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.cli import main

if TYPE_CHECKING:
    from core.task import Task


def load() -> Task:
    """Imports what trains."""
    from core.task import Task
    from tasks.dialogue.data import DialogueData
    from tasks.dialogue.module import DialogueModule

    return Task(DialogueModule, DialogueData)


def chat(arguments: Sequence[str]) -> None:
    """Imports what talks."""
    from tasks.dialogue.chat import main as talk

    talk(arguments)


if __name__ == "__main__":
    main("dialogue", load, {"chat": ("talk with a checkpoint in the terminal (--ckpt_path)", chat)})

"""What a run that goes on can't change: it would be taken from the checkpoint, whatever the options say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.errors import CheckpointError


def check_continues(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuses options that would be ignored without a word.

    An optimizer goes on with the state that the checkpoint has of it, learning rate and decay among that.

    Args:
        before: the configuration in the checkpoint.
        now: that of this run.

    Raises:
        CheckpointError: the optimizer or one of its options is another one; names both values and the mend.
    """
    theirs, ours = ({"model": {"optimizer": config.get("model", {}).get("optimizer")}} for config in (before, now))
    differing = list(_differences(theirs, ours))
    if differing:
        told = "; ".join(f"{name} is {new}, the checkpoint has {old}" for name, old, new in differing)
        raise CheckpointError(
            f"{told}: a run that goes on keeps its optimizer. Leave the option out, or begin a new run with these "
            "weights: --fit.weights in the place of --ckpt_path"
        )


def _differences(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Names and both values of the options that differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}" if name else str(key))
    elif before != now:
        yield name, before, now

"""Where an image backbone's weights come from, and how they are put into it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from core.errors import CheckpointError, ConfigError

# What checkpoints of ours set, which bring the weights themselves.
CHECKPOINT = "checkpoint"


def check_frozen(weights: str | None, freeze: bool) -> None:
    """Raises ConfigError for a backbone of random weights that would never be trained."""
    if weights is None and freeze:
        raise ConfigError(
            "model.encoder.weights is null and freeze is true: random weights would stay random; set freeze to false, "
            "or weights to default or to the path of a file"
        )


def read_weights(path: str) -> dict[str, Tensor]:
    """Reads a state dict by name from a file of `torch.save` or of safetensors; never executes code.

    Raises:
        CheckpointError: no such file, or one that holds no state dict.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise CheckpointError(
            f"model.encoder.weights: there is no file {file}; give the path of a state dict, default, or null"
        )
    try:
        state = load_file(file)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(f"model.encoder.weights: {file} can't be read ({first_line(error)})") from error
    for key in ("state_dict", "model"):  # as training scripts of others wrap them
        state = state[key] if isinstance(state, dict) and isinstance(state.get(key), dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"model.encoder.weights: {file} holds no state dict of tensors by name")
    return {name.removeprefix("module."): value for name, value in state.items()}


def load_file(file: Path) -> object:
    """Reads what a file holds, to the CPU."""
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file as load_safetensors

        try:
            return load_safetensors(file)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    return torch.load(file, map_location="cpu", weights_only=True)


def put_weights(model: nn.Module, state: Mapping[str, Tensor], heads: tuple[str, ...], origin: str) -> None:
    """Loads a state dict into a model, all of it but the classifier's part.

    Args:
        model: what is filled.
        state: by name.
        heads: beginnings of the names that belong to the classifier.
        origin: where the state is from, for the message of the error.

    Raises:
        CheckpointError: weights that are missing, left over, or of another shape.
    """
    state = {name: value for name, value in state.items() if not name.startswith(heads)}
    try:
        found = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise CheckpointError(
            f"model.encoder.weights: {origin} doesn't fit {type(model).__name__}: {reason}"
        ) from error
    missing = [name for name in found.missing_keys if not name.startswith(heads)]
    if missing or found.unexpected_keys:
        raise CheckpointError(
            f"model.encoder.weights: {origin} doesn't fit {type(model).__name__}: {len(missing)} weights are missing "
            f"{missing[:1]}, {len(found.unexpected_keys)} are left over {found.unexpected_keys[:1]}"
        )


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its kind where there is none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

"""Models of transformers as parts of ours: read from a folder or the hub, rebuilt from a checkpoint of ours.

Letters: B batch, S states, D width, L layers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.encoders.freezing import Freezable
from core.errors import CheckpointError, ConfigError

Layers = Literal["last", "weighted"]

# Entries of their files that say nothing of the architecture, or follow from it, or would change the weights' type.
IDLE = {"_name_or_path", "architectures", "auto_map", "dtype", "torch_dtype", "transformers_version", "id2label"}
IDLE |= {"label2id", "task_specific_params", "mel_filters"}


@dataclass(frozen=True)
class Architecture:
    """What it takes to rebuild a pretrained model, but for its weights; plain data.

    Attributes:
        config: transformers' options of the model, "model_type" among them.
        feature_extractor: transformers' options of what stands before it.
        path: where the weights are; None where a checkpoint of ours brings them.
    """

    config: dict[str, Any]
    feature_extractor: dict[str, Any]
    path: str | None

    @classmethod
    def of(cls, path: str | None, architecture: Mapping[str, Any] | None, known: Collection[str]) -> Architecture:
        """Reads the architecture of a folder or hub id, or takes the one that a checkpoint of ours carries.

        Args:
            path: the folder or hub id; not read where there is an architecture.
            architecture: what `plain` gave.
            known: the model types that the caller can make.

        Raises:
            ConfigError: neither is given, or an architecture that isn't ours.
            CheckpointError: nothing to be read at the path, or a model of another type.
        """
        if architecture is not None:
            if set(architecture) != {"config", "feature_extractor"}:
                raise ConfigError(
                    f"model.encoder.architecture must have the entries config and feature_extractor, got "
                    f"{sorted(architecture)}: checkpoints set it; give model.encoder.path instead"
                )
            return cls(dict(architecture["config"]), dict(architecture["feature_extractor"]), None)
        if path is None:
            raise ConfigError(
                "model.encoder.path is missing: give the folder of a pretrained model (config.json, "
                "preprocessor_config.json, model.safetensors), or its id on the Hugging Face hub"
            )
        path = str(Path(path).expanduser())
        found = cls(*read_descriptions(path), path)
        if found.config.get("model_type") not in known:
            raise CheckpointError(
                f"model.encoder.path: {path} holds a model of type {found.config.get('model_type')}, this encoder "
                f"reads {', '.join(sorted(known))}"
            )
        return found

    @property
    def model_type(self) -> str:
        """Transformers' name of the kind of model."""
        return str(self.config["model_type"])

    def plain(self) -> dict[str, Any]:
        """The architecture as an option, for a checkpoint of ours."""
        return {"config": self.config, "feature_extractor": self.feature_extractor}


def read_descriptions(path: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads what a folder or hub id says of a model and of what stands before it; never runs code of theirs.

    Raises:
        CheckpointError: the folder, the hub, or a file in it isn't there.
    """
    from transformers import FeatureExtractionMixin, PretrainedConfig

    check_folder(path)
    try:
        with quiet():
            config, _ = PretrainedConfig.get_config_dict(path)
            feature_extractor, _ = FeatureExtractionMixin.get_feature_extractor_dict(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    config, feature_extractor = (
        {key: value for key, value in found.items() if key not in IDLE} for found in (config, feature_extractor)
    )
    return config, feature_extractor


def check_folder(path: str) -> None:
    """Raises CheckpointError for what can only be a folder but isn't one, before the hub is asked for it."""
    looks_local = path.startswith((".", "/")) or path.count("/") > 1 or Path(path).exists()
    if looks_local and not Path(path).is_dir():
        raise CheckpointError(
            f"model.encoder.path: there is no folder {path}; give one that `save_pretrained` of transformers wrote"
        )


def unreadable(path: str, error: Exception) -> CheckpointError:
    """Makes the error of a model that can't be read, with the first sentence of transformers' own."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    wanted = "config.json, preprocessor_config.json and model.safetensors"
    if Path(path).is_dir():
        return CheckpointError(f"model.encoder.path: the folder {path} must hold {wanted} ({reason})")
    return CheckpointError(
        f"model.encoder.path: {path} is no folder, and the Hugging Face hub doesn't give it ({reason}); without a way "
        f"to the hub give the path of a folder that holds {wanted}"
    )


def make_model(model_class: Any, config: Any, architecture: Architecture, needed: str = "") -> Any:
    """Makes a model with its pretrained weights, in float32; with random ones where a checkpoint of ours brings them.

    Args:
        model_class: transformers' class.
        config: transformers' configuration.
        architecture: where the weights are.
        needed: the prefix of the weights that must be there.

    Raises:
        CheckpointError: weights that are missing, don't fit, or can't be read.
    """
    if architecture.path is None:
        return model_class(config)
    try:
        with quiet():
            model, report = model_class.from_pretrained(
                architecture.path, config=config, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise unreadable(architecture.path, error) from error
    missing = sorted(name for name in report["missing_keys"] if name.startswith(needed))
    if missing:
        raise CheckpointError(
            f"model.encoder.path: {architecture.path} lacks {len(missing)} weights of {model_class.__name__}, "
            f"{missing[0]} among them"
        )
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps transformers' reports and progress bars away: what matters of them is raised here."""
    from transformers.utils import logging

    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()


class PretrainedModel(Freezable):
    """A model of transformers, frozen or not, that gives its last states or a mixture of those of all its layers.

    Args:
        model: made by `make_model`.
        num_layers: its layers L.
        layers: the last states ("last"), or the mean of what enters each layer and of the last states, with L + 1
            trained weights ("weighted"; Yang et al. 2021, SUPERB, section 3.2).
        freeze: see `Freezable`; the mixture's weights are trained all the same.
        unfreeze_at: see `Freezable`.
        has_weights: whether the model has its pretrained weights; else it refuses to run before some are loaded.
    """

    def __init__(
        self,
        model: nn.Module,
        num_layers: int,
        layers: Layers,
        freeze: bool,
        unfreeze_at: int | None,
        has_weights: bool,
    ) -> None:
        super().__init__(model, freeze, unfreeze_at)
        if layers not in ("last", "weighted"):
            raise ConfigError(f"model.encoder.layers must be last or weighted, got {layers!r}")
        self.mixture = nn.Parameter(torch.zeros(num_layers + 1)) if layers == "weighted" else None
        self.has_weights = has_weights
        self.register_load_state_dict_post_hook(note_weights)  # type: ignore[no-untyped-call]

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Calls the model with its inputs by name: states (B, S, D).

        Raises:
            CheckpointError: it was rebuilt from a checkpoint's description, but its weights were never loaded.
        """
        if not self.has_weights:
            raise CheckpointError(
                "model.encoder.architecture describes a pretrained model, but no weights were loaded: give --ckpt_path "
                "a checkpoint of it, or leave architecture out and give model.encoder.path"
            )
        with self.gradients():
            found = self.model(**inputs, output_hidden_states=self.mixture is not None)
        last: Tensor = found.last_hidden_state
        if self.mixture is None:
            return last
        # Some models' own list ends before their last normalisation, others' behind it: states are mixed behind it.
        states = torch.stack([*found.hidden_states[:-1], last], -1)
        return states @ self.mixture.softmax(0).to(states.dtype)


def note_weights(model: nn.Module, keys: object) -> None:
    """Notes that a state has been loaded."""
    model.has_weights = True  # type: ignore[assignment]

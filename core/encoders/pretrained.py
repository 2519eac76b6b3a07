"""Models of transformers as parts of ours: read from a folder or the hub, rebuilt from a checkpoint of ours.

Letters: B batch, S states, D width, L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.encoders.freezing import Freezable
from core.errors import CheckpointError, ConfigError, did_you_mean
from core.layers.dropout import Dropout
from core.pretrained_files import check_folder, located, quiet, unreadable

WANTED = "config.json, model.safetensors, and preprocessor_config.json or tokenizer.json"
Layers = Literal["last", "weighted"]
Descriptions = tuple[dict[str, Any], dict[str, Any]]

# Entries of their files that say nothing of the architecture, or follow from it, or would change the weights' type.
IDLE = {"_name_or_path", "architectures", "auto_map", "dtype", "torch_dtype", "transformers_version", "id2label"}
IDLE |= {"label2id", "task_specific_params", "mel_filters"}


@dataclass(frozen=True)
class Architecture:
    """What it takes to rebuild a pretrained model, but for its weights; plain data.

    Attributes:
        config: transformers' options of the model, "model_type" among them.
        feature_extractor: transformers' options of what stands before it; for text what the encoder or decoder reads
            before a text.
        path: where the weights are; None where a checkpoint of ours brings them.
        option: the option whose path that is.
    """

    config: dict[str, Any]
    feature_extractor: dict[str, Any]
    path: str | None
    option: str = "model.encoder.path"

    @classmethod
    def of(
        cls,
        path: str | None,
        architecture: Mapping[str, Any] | None,
        known: Collection[str],
        part: Literal["encoder", "decoder"] = "encoder",
        describe: Callable[[str], Descriptions] | None = None,
    ) -> Architecture:
        """Reads the architecture of a folder or hub id, or takes the one that a checkpoint of ours carries.

        Args:
            path: the folder or hub id; not read where there is an architecture.
            architecture: what `plain` gave.
            known: the model types that the caller can make.
            part: what the caller is.
            describe: reads what a path says; None for `read_descriptions`.

        Raises:
            ConfigError: neither is given, or an architecture that isn't ours.
            CheckpointError: nothing to be read at the path, or a model of another type.
        """
        option = f"model.{part}.path"
        if architecture is not None:
            if set(architecture) != {"config", "feature_extractor"}:
                raise ConfigError(
                    f"model.{part}.architecture must have the entries config and feature_extractor, got "
                    f"{sorted(architecture)}: checkpoints set it; give {option} instead"
                )
            return cls(dict(architecture["config"]), dict(architecture["feature_extractor"]), None, option)
        if path is None:
            raise ConfigError(
                f"{option} is missing: give the folder of a pretrained model ({WANTED}), or its id on the "
                "Hugging Face hub"
            )
        path = located(path, option)
        check_folder(path, option)
        try:
            with quiet():
                found = cls(*(describe or read_descriptions)(path), path, option)
        except (OSError, ValueError) as error:
            raise unreadable(path, option, WANTED, error) from error
        if found.model_type not in known:
            raise CheckpointError(
                f"{option}: {path} holds a model of type {found.model_type}, this {part} reads "
                f"{', '.join(sorted(known))}"
            )
        return found

    def changed(self, changes: Mapping[str, Any] | None, known: Any) -> Architecture:
        """The architecture with other values in its configuration.

        Args:
            changes: values by name; None for none.
            known: transformers' configuration of the type, which knows the names.

        Raises:
            ConfigError: a name that it doesn't have.
        """
        for name in changes or {}:
            if not hasattr(known, name) and name != "attn_implementation":  # known under another name
                hint = did_you_mean(name, list(known.to_dict()))
                raise ConfigError(f"model.encoder.changes: a {self.model_type} has no option {name!r}{hint}")
        return replace(self, config=self.config | dict(changes or {}))

    @property
    def model_type(self) -> str:
        """Transformers' name of the kind of model."""
        return str(self.config.get("model_type"))

    def plain(self) -> dict[str, Any]:
        """The architecture as an option, for a checkpoint of ours."""
        return {"config": self.config, "feature_extractor": self.feature_extractor}


def read_descriptions(path: str) -> Descriptions:
    """Reads what a folder or hub id says of a model and of its feature extractor; never runs code of theirs."""
    from transformers import FeatureExtractionMixin

    config = read_config(path)
    feature_extractor, _ = FeatureExtractionMixin.get_feature_extractor_dict(path)
    return config, without_idle(feature_extractor)


def read_config(path: str) -> dict[str, Any]:
    """Reads the config.json of a folder or hub id."""
    from transformers import PretrainedConfig

    return without_idle(PretrainedConfig.get_config_dict(path)[0])


def without_idle(options: Mapping[str, Any]) -> dict[str, Any]:
    """Leaves out what says nothing of the architecture."""
    return {key: value for key, value in options.items() if key not in IDLE}


def make_model(
    model_class: Any, config: Any, architecture: Architecture, needed: str = "", unneeded: str | None = None
) -> Any:
    """Makes a model with its pretrained weights, in float32; with random ones where a checkpoint of ours brings them.

    Args:
        model_class: transformers' class.
        config: transformers' configuration.
        architecture: where the weights are.
        needed: the prefix of the weights that must be there.
        unneeded: the prefix of those that needn't be, nevertheless; None for no such.

    Raises:
        CheckpointError: weights that are missing, don't fit, or can't be read.
    """
    if architecture.path is None:
        return with_fast_dropout(model_class(config))
    try:
        with quiet():
            model, report = model_class.from_pretrained(
                architecture.path, config=config, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError) as error:
        raise unreadable(architecture.path, architecture.option, "config.json and model.safetensors", error) from error
    missing = sorted(name for name in report["missing_keys"] if name.startswith(needed))
    if unneeded is not None:
        missing = [name for name in missing if not name.startswith(unneeded)]
    if missing:
        raise CheckpointError(
            f"{architecture.option}: {architecture.path} lacks {len(missing)} weights of {model_class.__name__}, "
            f"{missing[0]} among them"
        )
    return with_fast_dropout(model)


def with_fast_dropout(model: nn.Module) -> nn.Module:
    """Puts our dropout in torch's place, which costs a third of a step on the CPU; changes the model."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p))
    return model


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

"""A model whose layers are compiled while it trains, and only then."""

from __future__ import annotations

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from core.compilation import check_compilable, compile_units
from core.module import Seq2SeqModule


class CompiledLayers(Callback):
    """Compiles the layers of a model for its training steps.

    Validations run them as they are: they would need graphs of their own, which take longer to make than they save,
    and so a validation's scores are those that `validate` finds with the checkpoint.

    Raises:
        ConfigError: there is nothing to compile, or nothing to do it with.
    """

    def __init__(self, module: Seq2SeqModule) -> None:
        check_compilable(module.model)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Compiles them in each rank's own process, before the strategy wraps or shards the model."""
        assert isinstance(pl_module, Seq2SeqModule)
        compile_units(pl_module.model)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Suspends it."""
        torch.compiler.set_stance("force_eager")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes it up again."""
        torch.compiler.set_stance("default")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leaves torch as it was, where a validation didn't end."""
        torch.compiler.set_stance("default")

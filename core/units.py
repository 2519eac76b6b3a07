"""The layers that a Transformer or a Conformer is a stack of, which are sharded and compiled one by one."""

from __future__ import annotations

from torch import nn

from core.layers.conformer import ConformerLayer
from core.layers.transformer import DecoderLayer, EncoderLayer

Unit = EncoderLayer | DecoderLayer | ConformerLayer


def units(model: nn.Module) -> list[Unit]:
    """The repeated layers in a model, in the order of their registration; none where it is recurrent."""
    return [module for module in model.modules() if isinstance(module, Unit)]

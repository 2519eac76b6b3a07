"""The layers that a Transformer is a stack of, which are sharded one by one."""

from __future__ import annotations

from torch import nn

from core.layers.transformer import DecoderLayer, EncoderLayer


def units(model: nn.Module) -> list[EncoderLayer | DecoderLayer]:
    """The layers of the Transformers in a model, in the order of their registration."""
    return [module for module in model.modules() if isinstance(module, EncoderLayer | DecoderLayer)]

"""FSDP2: weights, gradients and the optimizer's state in shards over all ranks, gathered layer by layer when needed.

In place: parameters keep their names, so that a checkpoint is the same as that of a run without.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from core.distributed import world_size
from core.layers.transformer import DecoderLayer
from core.seq2seq import EncoderDecoder
from core.units import units


def shard(model: EncoderDecoder, device: torch.device) -> None:
    """Shares each layer of a Transformer or Conformer out over all ranks, and the rest (embeddings, heads) as one more.

    A decoder's attention to the memory is a part of its own, since it projects the memory before its layer is called.

    Args:
        model: with the same weights on all ranks.
        device: of this rank; on it the weights are afterwards.
    """
    mesh = init_device_mesh(device.type, (world_size(),))
    for layer in units(model):
        if isinstance(layer, DecoderLayer):
            fully_shard(layer.cross_attention, mesh=mesh)
            for name in ("project", "weights"):
                register_fsdp_forward_method(layer.cross_attention, name)
        fully_shard(layer, mesh=mesh)
        if isinstance(layer, DecoderLayer):
            register_fsdp_forward_method(layer, "step")
    fully_shard(model, mesh=mesh)
    register_fsdp_forward_method(model, "encode")


def gather(model: nn.Module) -> None:
    """Gives each rank the whole of a sharded model, until `scatter`; does nothing to others.

    Ranks write sentences of unequal lengths: they can't gather layers together while they do.
    """
    for part in _sharded(model):
        part.set_reshard_after_forward(False, recurse=False)
        part.unshard()


def scatter(model: nn.Module) -> None:
    """Takes it back. The outermost part is gathered from the beginning of a forward pass to the end of the backward."""
    for part in _sharded(model):
        part.set_reshard_after_forward(not isinstance(part, EncoderDecoder), recurse=False)
        part.reshard()


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` has been here."""
    return isinstance(model, FSDPModule)


def whole(tensor: Tensor) -> Tensor:
    """The sum or norm that a computation with shards gave, as all ranks have it; other tensors as they are."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _sharded(model: nn.Module) -> list[FSDPModule]:
    return [part for part in model.modules() if isinstance(part, FSDPModule)]

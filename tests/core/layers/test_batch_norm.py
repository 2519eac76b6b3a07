from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes

from core.layers.batch_norm import MaskedBatchNorm
from core.masks import length_mask

LENGTHS = torch.tensor([6, 4, 1, 3])


def example() -> tuple[Tensor, Tensor]:
    x = torch.randn(4, 6, 3, generator=torch.Generator().manual_seed(0)) * 2 + 1
    return x, length_mask(LENGTHS, 6).unsqueeze(2)


def test_it_is_torchs_over_the_states_that_are_there() -> None:
    x, mask = example()
    ours, other = MaskedBatchNorm(3), nn.BatchNorm1d(3)
    for layer in (ours, other):
        nn.init.constant_(layer.weight, 1.5)
        nn.init.constant_(layer.bias, 0.5)
    present = mask.squeeze(2)
    inner, outer = x.clone().requires_grad_(), x[present].requires_grad_()
    weights = torch.randn(int(LENGTHS.sum()), 3)
    for _ in range(2):
        normed, expected = ours(inner, mask)[present], other(outer)
        torch.testing.assert_close(normed, expected)
    (normed * weights).sum().backward()
    (expected * weights).sum().backward()
    assert inner.grad is not None
    torch.testing.assert_close(inner.grad[present], outer.grad)
    assert not inner.grad[~present].any()
    torch.testing.assert_close(ours.mean, other.running_mean)
    torch.testing.assert_close(ours.variance, other.running_var)
    torch.testing.assert_close(ours.eval()(x, mask)[present], other.eval()(x[present]))


def run(layer: MaskedBatchNorm, rows: slice) -> tuple[Tensor, Tensor]:
    """Normalises some rows of the example: what comes out, and the gradient of a loss of it."""
    x, mask = (part[rows] for part in example())
    x.requires_grad_()
    normed = layer(x, mask)
    (normed.masked_fill(~mask, 0.0).pow(3)).sum().backward()
    assert x.grad is not None
    return normed.detach(), x.grad


def on_rank(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    layer = MaskedBatchNorm(3)
    rows = slice(0, 3) if rank == 0 else slice(3, 4)
    torch.save((*run(layer, rows), layer.state_dict()), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_normalise_as_one_process(tmp_path: Path) -> None:
    start_processes(on_rank, (str(tmp_path),), nprocs=2, start_method="fork")  # type: ignore[no-untyped-call]
    layer = MaskedBatchNorm(3)
    normed, gradient = run(layer, slice(0, 4))
    ranks = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    torch.testing.assert_close(torch.cat([rank[0] for rank in ranks]), normed)
    torch.testing.assert_close(torch.cat([rank[1] for rank in ranks]), gradient)
    for rank in ranks:
        torch.testing.assert_close(rank[2]["mean"], layer.mean)
        torch.testing.assert_close(rank[2]["variance"], layer.variance)

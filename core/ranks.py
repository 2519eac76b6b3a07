"""What ranks need of each other: gradients of the same parameters, a limit to waiting, and to know who is lost."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch.distributed as dist
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, ParallelStrategy, StrategyRegistry
from torch._C._distributed_c10d import Store

from core.errors import ConfigError, PolyseqError, did_you_mean

if TYPE_CHECKING:
    from core.module import Seq2SeqModule

ROLL_CALL = 10.0  # seconds for the ranks that are alive to say so


class RankError(PolyseqError):
    """Ranks can't go on together; the message says which one is lost."""


def make_trainer(options: dict[str, Any]) -> Trainer:
    """Makes Lightning's trainer.

    Raises:
        ConfigError: it doesn't take an option: no such strategy or accelerator, or none on this machine.
    """
    try:
        return Trainer(**options)
    except (ValueError, TypeError, ImportError, MisconfigurationException) as error:
        known = {
            "strategy": StrategyRegistry.available_strategies(),
            "accelerator": AcceleratorRegistry.available_accelerators(),
        }
        said = " ".join(str(error).partition("Find a complete list")[0].split())
        misspelt = (name for name, names in known.items() if name in said and str(options[name]) not in names)
        hint = next((did_you_mean(str(options[name]), list(known[name])) for name in misspelt), "")
        raise ConfigError(f"trainer: {said}{hint}") from error


def prepare_strategy(trainer: Trainer, module: Seq2SeqModule, timeout: float) -> None:
    """Gives the strategy what only we know: how long a rank waits for others, and whether parameters are left out.

    Where an update has no gradient for some parameters, DDP has to look for them in each backward pass, or it stops at
    the second update. A user's own `find_unused_parameters` stays.

    Args:
        trainer: just made.
        module: what it will train.
        timeout: in seconds.

    Raises:
        ConfigError: the timeout isn't above 0, there is another number of ranks than the options say, or the strategy
            can't do what they say.
    """
    if timeout <= 0:
        raise ConfigError(f"rank_timeout is a number of seconds above 0, got {timeout}")
    strategy = trainer.strategy
    if isinstance(strategy, ParallelStrategy) and strategy.cluster_environment is not None:
        _check_ranks(strategy.cluster_environment, trainer.num_devices, trainer.num_nodes)
    if isinstance(strategy, DDPStrategy | ModelParallelStrategy):
        strategy._timeout = timedelta(seconds=timeout)
    if isinstance(strategy, ModelParallelStrategy):
        _check_sharding(strategy, trainer, module)
    if isinstance(strategy, DDPStrategy) and not module.trains_all:
        strategy._ddp_kwargs.setdefault("find_unused_parameters", True)


def _check_sharding(strategy: ModelParallelStrategy, trainer: Trainer, module: Seq2SeqModule) -> None:
    """Refuses what a model in shards can't do.

    Raises:
        ConfigError: names the option.
    """
    if strategy._save_distributed_checkpoint:
        raise ConfigError(
            "trainer.strategy.save_distributed_checkpoint must be false: a checkpoint of ours is one file "
            "(configs/trainer/fsdp.yaml has all that FSDP needs)"
        )
    if any(isinstance(callback, WeightAveraging) for callback in trainer.callbacks):  # type: ignore[attr-defined]
        raise ConfigError("fit.ema_decay must be 0 with FSDP: weights that are in shards aren't averaged")
    if module.objective.writes:
        raise ConfigError(
            f"model.objective {type(module.objective).__name__} writes while it trains, which ranks do in unequal "
            "numbers of steps and so can't with FSDP: train with configs/trainer/ddp.yaml"
        )


def _check_ranks(environment: ClusterEnvironment, devices: int, nodes: int) -> None:
    """Compares what the options say of the ranks with what the launcher says; Lightning does so when training begins.

    Raises:
        ConfigError: says both numbers and where each is from.
    """
    try:
        environment.validate_settings(num_devices=devices, num_nodes=nodes)
    except ValueError as error:
        raise ConfigError(
            f"trainer.num_nodes is {nodes} and trainer.devices {devices} on each, which isn't what torchrun or SLURM "
            f"has started; a run goes on with as many ranks as it began with ({' '.join(str(error).split())})"
        ) from error


class RollCall(Callback):
    """Writes down where each rank is when a run begins, so that one that is lost can be named."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Says where this rank is."""
        if dist.is_initialized():
            _store().set(f"polyseq/host/{dist.get_rank()}", socket.gethostname())


@contextmanager
def naming_lost_ranks() -> Iterator[None]:
    """Turns what a rank meets when another is gone into an error that says which, and DDP's riddles into a mend.

    Raises:
        RankError: a rank is lost, or too slow.
        ConfigError: parameters have no gradient, and DDP wasn't told to look for them.
    """
    try:
        yield
    except (RuntimeError, dist.DistError) as error:
        text = " ".join(str(error).split())
        if "Expected to have finished reduction in the prior iteration" in text:
            raise ConfigError(
                "an update has no gradient for some parameters, which DDP must be told: set "
                f"trainer.strategy=ddp_find_unused_parameters_true ({text[-200:]})"
            ) from error
        if not any(sign in text for sign in SIGNS) or not dist.is_initialized():
            raise
        # Said at once: a launcher that has seen the other rank die may end this one, too, before it has found out.
        print(f"rank {dist.get_rank()}: lost touch with another rank; asking who is there", file=sys.stderr, flush=True)
        raise RankError(
            f"{missing_ranks(ROLL_CALL)} ({text[:200]}); --ckpt_path last goes on from the last checkpoint"
        ) from error


def missing_ranks(seconds: float) -> str:
    """Asks all ranks, by way of the store at which they met, who is there; says who isn't.

    Args:
        seconds: how long the others have for their answer.
    """
    rank, ranks = dist.get_rank(), dist.get_world_size()
    answer: list[str] = []
    # A store on a machine that is cut off keeps who asks it waiting for as long as the system tries to reach it.
    asking = threading.Thread(target=lambda: answer.append(_call_roll(rank, ranks, seconds)), daemon=True)
    asking.start()
    asking.join((2 if rank == 0 else 1) * seconds + 1)
    if answer and answer[0]:
        return answer[0]
    return f"rank {rank} of {ranks}: lost the store that all ranks met at, which rank 0 or torchrun's host holds"


def _call_roll(rank: int, ranks: int, seconds: float) -> str:
    """Who doesn't answer, in words; empty where the store doesn't."""
    try:
        store = _store()
        store.set(f"polyseq/alive/{rank}", "yes")
        lost = _without(store, "alive", range(ranks), seconds)
        places = ", ".join(f"rank {other} of {ranks}{_place(store, other)}" for other in lost)
        store.set(f"polyseq/told/{rank}", "yes")
        if rank == 0:  # which may hold the store: the others haven't all finished with it
            _without(store, "told", [other for other in range(ranks) if other not in lost], seconds)
    except (RuntimeError, dist.DistError):
        return ""
    return f"lost {places}" if lost else f"rank {rank} of {ranks}: all ranks are alive, but one was too slow"


def _without(store: Store, key: str, ranks: Iterable[int], seconds: float) -> list[int]:
    """The ranks that haven't set a key of theirs after so many seconds; asked again and again, not waited for."""
    end = time.monotonic() + seconds
    while missing := [rank for rank in ranks if not store.check([f"polyseq/{key}/{rank}"])]:
        if time.monotonic() > end:
            break
        time.sleep(0.1)
    return missing


def _place(store: Store, rank: int) -> str:
    key = f"polyseq/host/{rank}"
    return f" on {store.get(key).decode()}" if store.check([key]) else ""


def _store() -> Store:
    return dist.distributed_c10d._get_default_store()


SIGNS = (
    "Connection closed by peer",
    "Connection reset by peer",
    "Broken pipe",
    "Application timeout caused pair closure",
    "Timed out waiting",
    "timed out",
    "gloo/transport",
    "NCCL",
    "Gloo",
)

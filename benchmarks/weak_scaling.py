"""One and two ranks of one thread each, with the same work for each rank: `python -m benchmarks.weak_scaling`.

The updates are those of training: DDP over gloo, the loss divided by the tokens of all ranks. Besides the speed it
measures what a reckoning for other machines starts from and no load of this one changes: the bytes that DDP reduces in
an update and the floating-point operations of an update, both of one rank. Time in communication is measured in two
ways: what an update takes longer than the same update without reducing anything, and how long reducing as many bytes
takes where nothing else is done.
"""

from __future__ import annotations

import argparse
import socket
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes
from torch.nn.parallel import DistributedDataParallel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.report import Environment, add_report_options, median, publish
from benchmarks.shapes import Shape, add_shape_options, chosen_shape, random_batch
from benchmarks.train_speed import CLIP, PRECISIONS, adamw, our_loss
from core.batch import Seq2SeqBatch
from core.objectives import required_target
from core.updates import UpdateGuard

TIMEOUT = timedelta(seconds=300)
WARM = 3  # updates before a measurement


@dataclass(frozen=True)
class Work:
    """What each rank does.

    Attributes:
        shape: the model's.
        precision: a key of `PRECISIONS`.
        batch_size: examples of a batch.
        length: tokens of the longest.
        updates: of a measurement.
        threads: of a rank.
    """

    shape: Shape
    precision: str
    batch_size: int
    length: int
    updates: int
    threads: int


@dataclass(frozen=True)
class Measured:
    """What one rank measured.

    Attributes:
        tokens: target tokens of all ranks a second.
        update: seconds of an update.
        silent: seconds of one without reducing gradients.
        reducing: seconds of reducing as many bytes alone.
        reduced: bytes of gradients that are reduced in an update.
    """

    tokens: float
    update: float
    silent: float
    reducing: float
    reduced: int


class Trained(nn.Module):
    """A model with its loss, as DDP wants it.

    Args:
        work: whose model.
    """

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.model, self.precision = work.shape.build().train(), work.precision

    def forward(self, batch: Seq2SeqBatch) -> tuple[Tensor, Tensor]:
        """The summed loss and the number of tokens."""
        with PRECISIONS[self.precision]():
            return our_loss(self.model, batch)


class Rank:
    """One rank's training.

    Args:
        rank: its number; each draws batches of its own.
        ranks: how many there are.
        work: what is done.
    """

    def __init__(self, rank: int, ranks: int, work: Work) -> None:
        torch.set_num_threads(work.threads)
        torch.manual_seed(0)
        self.work, self.ranks = work, ranks
        trained = Trained(work)
        self.model = DistributedDataParallel(trained) if ranks > 1 else trained
        self.optimizer, self.guard = adamw(self.model), UpdateGuard(patience=1)
        self.batches = draw(work, seed=rank)

    def reduced(self) -> int:
        """Bytes that DDP reduces in an update, by its own account.

        A hook that counts them would run Python in gloo's threads, which abort the process where it ends first.
        """
        if not isinstance(self.model, DistributedDataParallel):
            return 0
        sizes: str = self.model._get_ddp_logging_data()["rebuilt_bucket_sizes"]  # type: ignore[no-untyped-call]
        return sum(int(size) for size in sizes.split(","))

    def update(self, number: int) -> int:
        """Makes an update; returns its target tokens on this rank."""
        batch = self.batches[number % len(self.batches)]
        self.optimizer.zero_grad()
        total, tokens = self.model(batch)
        self.guard.add(total, tokens)
        torch.autograd.backward(total)
        self.guard.finish(self.model.parameters(), CLIP, float(self.ranks))
        self.optimizer.step()
        return int(tokens)

    def time(self, silent: bool = False) -> tuple[float, int]:
        """Seconds of an update, and this rank's target tokens of all that were timed."""
        keep: AbstractContextManager[Any] = nullcontext()
        if silent and isinstance(self.model, DistributedDataParallel):
            keep = self.model.no_sync()
        with keep:
            for number in range(WARM):
                self.update(number)
            self._meet()
            started = time.perf_counter()
            tokens = sum(self.update(number) for number in range(self.work.updates))
            self._meet()
        return (time.perf_counter() - started) / self.work.updates, tokens

    def measure(self) -> Measured:
        """Measures all."""
        update, tokens = self.time()
        reduced = self.reduced()
        silent, _ = self.time(silent=True)
        every = torch.tensor(float(tokens))
        if self.ranks > 1:
            dist.all_reduce(every)
        return Measured(float(every) / (update * self.work.updates), update, silent, self._alone(reduced), reduced)

    def _alone(self, reduced: int) -> float:
        """Seconds of reducing so many bytes while nothing else is done."""
        if self.ranks == 1:
            return 0.0
        values = torch.zeros(reduced // 4)
        dist.all_reduce(values)
        self._meet()
        started = time.perf_counter()
        for _ in range(self.work.updates):
            dist.all_reduce(values)
        return (time.perf_counter() - started) / self.work.updates

    def _meet(self) -> None:
        if self.ranks > 1:
            dist.barrier()


def draw(work: Work, seed: int) -> list[Seq2SeqBatch]:
    """Batches of one rank, the same each time."""
    generator = torch.Generator().manual_seed(seed)
    sizes = work.batch_size, work.length, work.shape.vocab_size
    return [random_batch(*sizes, generator) for _ in range(work.updates)]


def operations(work: Work) -> tuple[int, int]:
    """Floating-point operations of forward and backward of one rank's batches, and their target tokens, by update."""
    torch.manual_seed(0)
    model, batches = Trained(work), draw(work, seed=0)
    with FlopCounterMode(display=False) as counter:
        for batch in batches:
            torch.autograd.backward(model(batch)[0])
    tokens = sum(int(required_target(batch).lengths.sum()) for batch in batches)
    return int(counter.get_total_flops()) // len(batches), tokens // len(batches)


def _serve(rank: int, ranks: int, port: int, work: Work, results: Any) -> None:
    """One rank's process."""
    if ranks > 1:
        dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", world_size=ranks, rank=rank, timeout=TIMEOUT)
    measured = Rank(rank, ranks, work).measure()
    if rank == 0:
        results.put(measured)
    if ranks > 1:
        dist.destroy_process_group()


def run(ranks: int, work: Work) -> Measured:
    """Measures so many ranks, each in a fresh process."""
    results = mp.get_context("spawn").SimpleQueue()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start_processes(_serve, (ranks, port, work, results), nprocs=ranks, start_method="spawn")  # type: ignore[no-untyped-call]
    measured: Measured = results.get()
    return measured


def row(ranks: int, found: Sequence[Measured], one: float) -> tuple[object, ...]:
    """The medians of several rounds: a row of the table."""

    def middle(name: str) -> float:
        return median([getattr(each, name) for each in found])

    exposed = max(0.0, middle("update") - middle("silent")) / middle("update") if ranks > 1 else 0.0
    return (
        ranks,
        middle("tokens"),
        100 * middle("tokens") / (ranks * one),
        100 * exposed,
        1000 * middle("update"),
        1000 * middle("reducing"),
    )


HEADER = ("ranks", "target tokens/s", "efficiency %", "reducing, % of an update", "ms an update", "ms reducing alone")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.weak_scaling", description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2], help="%(default)s")
    parser.add_argument("--precision", choices=sorted(PRECISIONS), default="fp32")
    parser.add_argument("--batch_size", type=int, default=256, help="examples a rank and update (default: %(default)s)")
    parser.add_argument("--length", type=int, default=16, help="tokens of the longest (default: %(default)s)")
    parser.add_argument("--updates", type=int, default=10, help="a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="in turns (default: %(default)s)")
    parser.add_argument("--count_only", action="store_true", help="no timings: parameters, bytes and operations alone")
    add_shape_options(parser)
    add_report_options(parser, "weak_scaling")
    options = parser.parse_args(arguments)
    environment = Environment.here(options.threads)
    shape = chosen_shape(options)
    work = Work(shape, options.precision, options.batch_size, options.length, options.updates, options.threads)
    torch.set_num_threads(options.threads)
    parameters = sum(parameter.numel() for parameter in shape.build().parameters())
    flops, tokens = operations(work)
    title = f"Weak scaling, {options.precision}: {shape}, {parameters / 1e6:.2f} M parameters"
    print(f"an update: {tokens:,} target tokens, {flops / 1e9:.1f} GFLOP, {flops / tokens / 1e6:.1f} MFLOP a token")
    if options.count_only:
        print(f"{title}: gradients of {4 * parameters / 1e6:.1f} MB")
        return
    found: dict[int, list[Measured]] = {ranks: [] for ranks in options.ranks}
    for _ in range(options.rounds):
        for ranks in options.ranks:
            found[ranks].append(run(ranks, work))
    reduced = max(each.reduced for measured in found.values() for each in measured)
    print(f"gradients that are reduced in an update: {reduced / 1e6:.1f} MB a rank")
    one = median([each.tokens / min(options.ranks) for each in found[min(options.ranks)]])
    rows = [row(ranks, measured, one) for ranks, measured in found.items()]
    about = f"{options.batch_size} examples of up to {options.length} tokens a rank; {options.rounds} rounds"
    publish(f"{title}; {about}", HEADER, rows, environment, options.output)


if __name__ == "__main__":
    main()

"""What torch.compile gives, and what it costs: `python -m benchmarks.compile_speed`.

Both sides start from the same weights and read the same batches. Times are of processors, those of the compiler among
them, so that others on the machine don't count.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
from dataclasses import dataclass

import torch

from benchmarks.report import Environment, add_report_options, median, publish
from benchmarks.shapes import add_shape_options, chosen_shape, random_batch
from benchmarks.train_speed import PRECISIONS, our_loss, our_step
from core.batch import Seq2SeqBatch
from core.compilation import check_compilable, compile_units
from core.seq2seq import EncoderDecoder

SAME = 0.02  # by how much two losses may differ that draw other dropout


@dataclass(frozen=True)
class Cost:
    """Processor seconds of the first update and of a later one, and the mean loss that they end with."""

    first: float
    later: float
    loss: float


def processor_seconds() -> float:
    """What this process and the compilers that it has waited for have used."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure(model: EncoderDecoder, precision: str, batches: list[Seq2SeqBatch]) -> Cost:
    """Times an update with each batch; the first one's graphs are made then."""
    step = our_step(model, precision)
    seconds = []
    for batch in batches:
        begun = processor_seconds()
        step(batch)
        seconds.append(processor_seconds() - begun)
        print(f"{seconds[-1]:.2f} s", file=sys.stderr, flush=True)
    with torch.no_grad(), PRECISIONS[precision](), torch.compiler.set_stance("force_eager"):
        total, tokens = our_loss(model, batches[0])
    return Cost(seconds[0], median(seconds[2:]), float(total / tokens))


def parse_options() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compile_speed", description=__doc__)
    parser.add_argument("--precision", choices=sorted(PRECISIONS), default="fp32", help="default: %(default)s")
    parser.add_argument("--batch_size", type=int, default=256, help="examples a batch (default: %(default)s)")
    parser.add_argument("--length", type=int, default=16, help="tokens of the longest (default: %(default)s)")
    parser.add_argument("--updates", type=int, default=8, help="updates of each (default: %(default)s)")
    add_shape_options(parser)
    add_report_options(parser, "compile_speed")
    return parser.parse_args()


def main() -> None:
    """Measures, checks that both have learnt the same, prints."""
    options = parse_options()
    os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # else workers compile, whose time isn't told before they end
    os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"
    environment = Environment.here(options.threads)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    shape = chosen_shape(options)
    generator = torch.Generator().manual_seed(0)
    batches = [
        random_batch(options.batch_size, options.length, shape.vocab_size, generator) for _ in range(options.updates)
    ]
    plain = shape.build().train()
    compiled = copy.deepcopy(plain)
    check_compilable(compiled)
    compile_units(compiled)
    costs = {
        name: measure(model, options.precision, batches) for name, model in (("plain", plain), ("compiled", compiled))
    }
    if not abs(costs["compiled"].loss / costs["plain"].loss - 1) < SAME:
        sys.exit(f"error: the losses differ: {costs}")
    rows = [(name, cost.first, cost.later, f"{cost.loss:.3f}") for name, cost in costs.items()]
    title = f"{shape}; {options.precision}; {options.batch_size} examples of up to {options.length} tokens"
    header = ("layers", "processor s, first update", "a later one", "loss after all")
    publish(f"Compiled layers: {title}", header, rows, environment, options.output)


if __name__ == "__main__":
    main()

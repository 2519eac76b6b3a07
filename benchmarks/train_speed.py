"""Training speed beside transformers' own encoder-decoder: `python -m benchmarks.train_speed`.

Both start from the same weights and read the same batches, with the same dropout, label smoothing, clipping and
optimiser, in alternating rounds. That they compute the same loss is checked first.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.report import Environment, add_report_options, median, publish, spread
from benchmarks.shapes import Shape, add_shape_options, chosen_shape, random_batch
from benchmarks.weights import AttentionKind, shake, transformers_twin
from core.batch import Seq2SeqBatch, shift_right
from core.masks import length_mask
from core.objectives import CrossEntropy, required_target
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials
from core.updates import UpdateGuard

SMOOTHING, CLIP, RATE = 0.1, 1.0, 1e-3
PRECISIONS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "fp32": nullcontext,
    "bf16": lambda: torch.autocast("cpu", torch.bfloat16),
}
NOT_A_TARGET = -100

Step = Callable[[Seq2SeqBatch], None]


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of both."""
    return torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True)


def our_loss(model: EncoderDecoder, batch: Seq2SeqBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Our objective: the summed loss and the number of tokens."""
    loss = CrossEntropy(SMOOTHING)(model, batch, Specials(), 0)
    return loss.total, loss.tokens


def their_loss(model: Any, batch: Seq2SeqBatch) -> torch.Tensor:
    """Transformers' logits with torch's own loss, which is faster than the Trainer's label smoother: a mean."""
    target = required_target(batch)
    real = length_mask(target.lengths, target.values.size(1))
    logits = model(
        input_ids=batch.source.values,
        attention_mask=length_mask(batch.source.lengths, batch.source.values.size(1)).long(),
        decoder_input_ids=shift_right(target.values, Specials().bos),
        use_cache=False,
    ).logits
    labels = target.values.masked_fill(~real, NOT_A_TARGET)
    return F.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=NOT_A_TARGET, label_smoothing=SMOOTHING
    )


def our_step(model: EncoderDecoder, precision: str) -> Step:
    """An update as `Seq2SeqModule` makes it."""
    optimizer, guard = adamw(model), UpdateGuard(patience=1)

    def step(batch: Seq2SeqBatch) -> None:
        optimizer.zero_grad()
        with PRECISIONS[precision]():
            total, tokens = our_loss(model, batch)
        guard.add(total, tokens)
        torch.autograd.backward(total)
        guard.finish(model.parameters(), CLIP, 1.0)
        optimizer.step()

    return step


def their_step(model: Any, precision: str) -> Step:
    """An update in a plain loop."""
    optimizer = adamw(model)

    def step(batch: Seq2SeqBatch) -> None:
        optimizer.zero_grad()
        with PRECISIONS[precision]():
            loss = their_loss(model, batch)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()

    return step


def check_parity(shape: Shape, batch: Seq2SeqBatch) -> float:
    """How far the two losses and the gradients of the embeddings are apart, without dropout, relative to their size.

    Exits with an error where that is more than 1e-4: speeds of different results must not be compared.
    """
    ours = replace(shape, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0).build().train()
    shake(ours)
    theirs = transformers_twin(ours, Specials())
    total, tokens = our_loss(ours, batch)
    mean = total / tokens
    torch.autograd.backward(mean)
    loss = their_loss(theirs, batch)
    torch.autograd.backward(loss)
    mine, other = ours.decoder.embedding.weight.grad, theirs.model.decoder.embed_tokens.weight.grad
    assert mine is not None
    by_loss = abs(float(mean.detach() / loss.detach()) - 1)
    difference = max(by_loss, float((mine - other).abs().max() / other.abs().max()))
    if not difference < 1e-4:
        sys.exit(f"error: ours and transformers' differ by {difference:.1e}: nothing to compare")
    return difference


@dataclass(frozen=True)
class Speed:
    """Target tokens a second of one round, by the clock and by the processor time of this process."""

    wall: float
    processor: float


def measure(step: Step, batches: Iterator[Seq2SeqBatch], updates: int) -> Speed:
    """Times a number of updates."""
    tokens = 0
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(updates):
        batch = next(batches)
        step(batch)
        tokens += int(required_target(batch).lengths.sum())
    return Speed(tokens / (time.perf_counter() - wall), tokens / (time.process_time() - processor))


def contenders(shape: Shape, precision: str) -> dict[str, Step]:
    """Ours and transformers' with both of its kinds of attention, from the same weights."""
    ours = shape.build().train()
    kinds: tuple[AttentionKind, ...] = ("sdpa", "eager")
    theirs = {kind: transformers_twin(ours, Specials(), kind) for kind in kinds}
    return {
        "polyseq": our_step(ours, precision),
        **{f"transformers, {kind}": their_step(model, precision) for kind, model in theirs.items()},
    }


def compare(shape: Shape, precision: str, batches: list[Seq2SeqBatch], rounds: int) -> list[tuple[object, ...]]:
    """Lets the contenders take turns over the same batches, after a round that isn't counted."""
    steps = contenders(shape, precision)
    speeds: dict[str, list[Speed]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            speed = measure(step, cycle(batches), len(batches))
            if number:
                speeds[name].append(speed)
    best = max(median([each.wall for each in found]) for name, found in speeds.items() if name != "polyseq")
    rows: list[tuple[object, ...]] = []
    for name, found in speeds.items():
        walls = [each.wall for each in found]
        processor = median([each.processor for each in found])
        rows.append((f"{name}, {precision}", median(walls), spread(walls), processor, median(walls) / best))
    return rows


def parse_options() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_speed", description=__doc__)
    parser.add_argument("--precisions", nargs="+", choices=sorted(PRECISIONS), default=["fp32", "bf16"])
    parser.add_argument("--batch_size", type=int, default=256, help="examples a batch (default: %(default)s)")
    parser.add_argument("--length", type=int, default=16, help="tokens of the longest (default: %(default)s)")
    parser.add_argument("--updates", type=int, default=4, help="updates a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of all (default: %(default)s)")
    add_shape_options(parser)
    add_report_options(parser, "train_speed")
    return parser.parse_args()


def main() -> None:
    """Checks parity, measures, prints."""
    options = parse_options()
    environment = Environment.here(options.threads)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    shape = chosen_shape(options)
    generator = torch.Generator().manual_seed(0)
    batches = [
        random_batch(options.batch_size, options.length, shape.vocab_size, generator) for _ in range(options.updates)
    ]
    difference = check_parity(shape, batches[0])
    print(f"same loss and gradient: relative difference {difference:.1e}", file=sys.stderr, flush=True)
    rows = [row for name in options.precisions for row in compare(shape, name, batches, options.rounds)]
    header = ("model", "target tokens/s", "lowest–highest", "tokens/processor s", "times transformers' best")
    title = f"Training: {shape}; {options.batch_size} examples of up to {options.length} tokens"
    publish(f"{title}; median of {options.rounds} rounds", header, rows, environment, options.output)


if __name__ == "__main__":
    main()

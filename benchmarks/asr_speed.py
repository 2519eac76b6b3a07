"""Speed of speech recognition: seconds of sound a second in training, and the real-time factor of decoding.

`python -m benchmarks.asr_speed` measures the models of recipes, with fresh weights, on noise: how long a step takes
depends on lengths alone. So that decoding's does too, all utterances are of one length, and are written with as many
tokens as people say in that time; what a trained model needs for real sounds is the RTF that `test` reports.
"""

from __future__ import annotations

import argparse
import string
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser

from benchmarks.report import Environment, add_report_options, median, publish, spread
from benchmarks.train_speed import CLIP, PRECISIONS, adamw
from core.batch import AudioBatch, Seq2SeqBatch, TextBatch
from core.ctc import transcribe
from core.data.vocabularies import Vocabularies
from core.recipes import Recipe, overlay, read_recipe
from core.tokenization import TokenizerOptions, train_tokenizer
from core.updates import UpdateGuard
from tasks.asr.module import AsrModule

CONFIGS = Path(__file__).parent.parent / "configs" / "asr"
RATE = 16000
TOKENS = 7.0  # in a second of AN4: 6.9 characters
MODES = ("ctc_greedy", "attention", "joint")
ENCODERS = {"Conformer": ["an4"], "Transformer": ["an4", "an4_transformer"], "LAS": ["an4", "an4_las"]}


def module_of(recipes: Sequence[Path]) -> AsrModule:
    """Makes the module that recipes describe, over the speech task's defaults, for texts of capital letters."""
    layers = [read_recipe(path) for path in (CONFIGS / "default.yaml", *recipes)]
    empty: Recipe = {}
    model = {key: value for key, value in reduce(overlay, layers, empty)["model"].items() if key != "schedule"}
    parser = ArgumentParser(exit_on_error=False)
    skipped: set[str | int] = {"source_size", "vocabularies"}
    parser.add_class_arguments(
        AsrModule, "model", fail_untyped=False, sub_configs=True, skip=skipped, instantiate=False
    )
    options: dict[str, Any] = parser.instantiate(parser.parse_object({"model": model})).model.as_dict()
    tokenizer = train_tokenizer([f"{string.ascii_uppercase} A"], TokenizerOptions(kind="characters", min_frequency=1))
    return AsrModule(source_size=RATE, vocabularies=Vocabularies(None, tokenizer), **options)


def noise(lengths: torch.Tensor, generator: torch.Generator) -> AudioBatch:
    """Sounds of so many samples (B,)."""
    values = 0.1 * torch.randn(len(lengths), int(lengths.max()), generator=generator)
    return AudioBatch(values.masked_fill(torch.arange(values.size(1)) >= lengths.unsqueeze(1), 0.0), lengths)


def training_batch(module: AsrModule, seconds: float, longest: float, generator: torch.Generator) -> Seq2SeqBatch:
    """Draws utterances of `longest` seconds or up to a quarter fewer, as many as the batch's seconds hold."""
    size = max(int(seconds / longest), 1)
    spoken = longest * (1 - 0.25 * torch.rand(size, generator=generator))
    lengths = (TOKENS * spoken).long().clamp_min(1) + 1
    specials, tokenizer = module.specials, module.target_tokenizer
    words = (size, int(lengths.max()))
    first = len(tokenizer) - len(tokenizer.pieces)  # the specials come before
    target = torch.randint(first, len(tokenizer), words, generator=generator)
    target[torch.arange(size), lengths - 1] = specials.eos
    target.masked_fill_(torch.arange(words[1]) >= lengths.unsqueeze(1), specials.pad)
    return Seq2SeqBatch(noise((RATE * spoken).long(), generator), TextBatch(target, lengths), tuple(range(size)))


def training_step(module: AsrModule, precision: str) -> Callable[[Seq2SeqBatch], None]:
    """An update as `Seq2SeqModule` makes it, augmentation and optimizer included."""
    optimizer, guard = adamw(module.train()), UpdateGuard(patience=1)

    def step(batch: Seq2SeqBatch) -> None:
        optimizer.zero_grad()
        with PRECISIONS[precision]():
            loss = module.objective(module.model, batch, module.specials, 0)
        guard.add(loss.total, loss.tokens)
        torch.autograd.backward(loss.total)
        guard.finish(module.parameters(), CLIP, 1.0)
        optimizer.step()

    return step


def recogniser(module: AsrModule, mode: Any, seconds: float) -> Callable[[AudioBatch], object]:
    """Decoding that writes as many tokens as people say in so many seconds, whatever the weights."""
    count = max(int(TOKENS * seconds), 1)
    options = replace(module.eval().generation, max_length=count, min_length=0 if mode == "ctc_greedy" else count)
    return lambda source: transcribe(module.model, source, mode, options, module.specials, module.ctc_weight)


@dataclass(frozen=True)
class Pace:
    """Seconds of sound a second of one round, by the clock and by the processor time of this process."""

    wall: float
    processor: float


def measure(work: Callable[[Any], object], inputs: Iterator[Any], count: int) -> Pace:
    """Times a number of batches."""
    heard = 0.0
    wall, processor = time.perf_counter(), time.process_time()
    for _ in range(count):
        batch = next(inputs)
        work(batch)
        source = batch.source if isinstance(batch, Seq2SeqBatch) else batch
        heard += float(source.lengths.sum()) / RATE
    return Pace(heard / (time.perf_counter() - wall), heard / (time.process_time() - processor))


def in_turns(works: Mapping[str, Callable[[Any], object]], inputs: Sequence[Any], rounds: int) -> dict[str, list[Pace]]:
    """Lets all take turns over the same inputs, after a round that isn't counted."""
    paces: dict[str, list[Pace]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            pace = measure(work, cycle(inputs), len(inputs))
            if number:
                paces[name].append(pace)
    return paces


def train_rows(modules: dict[str, AsrModule], options: argparse.Namespace) -> list[tuple[object, ...]]:
    """A row for each encoder and precision."""
    generator = torch.Generator().manual_seed(0)
    first = next(iter(modules.values()))
    batches = [training_batch(first, options.batch_seconds, options.seconds, generator) for _ in range(options.updates)]
    rows: list[tuple[object, ...]] = []
    for precision in options.precisions:
        works = {name: training_step(module, precision) for name, module in modules.items()}
        for name, paces in in_turns(works, batches, options.rounds).items():
            walls = [pace.wall for pace in paces]
            size = sum(parameter.numel() for parameter in modules[name].model.parameters())
            processor = median([pace.processor for pace in paces])
            rows.append((f"{name}, {precision}", size, median(walls), spread(walls), processor))
    return rows


def decode_rows(modules: dict[str, AsrModule], options: argparse.Namespace) -> list[tuple[object, ...]]:
    """A row for each encoder, mode and batch."""
    generator = torch.Generator().manual_seed(0)
    rows: list[tuple[object, ...]] = []
    for size in options.decode_batches:
        sounds = [noise(torch.full((size,), int(RATE * options.seconds)), generator) for _ in range(options.updates)]
        works = {
            (name, mode): recogniser(module, mode, options.seconds)
            for name, module in modules.items()
            for mode in MODES
        }
        paces = in_turns({f"{name}, {mode}": work for (name, mode), work in works.items()}, sounds, options.rounds)
        for name, found in paces.items():
            factors = [1 / pace.wall for pace in found]
            processor = median([1 / pace.processor for pace in found])
            rows.append(
                (name, size, *(f"{value:.4f}" for value in (median(factors), min(factors), max(factors), processor)))
            )
    return rows


def parse_options() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asr_speed", description=__doc__)
    parser.add_argument("--encoders", nargs="+", choices=ENCODERS, default=list(ENCODERS), help="(default: all)")
    parser.add_argument("--precisions", nargs="+", choices=sorted(PRECISIONS), default=["fp32", "bf16"])
    parser.add_argument("--batch_seconds", type=float, default=20.0, help="of a training batch (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of the longest utterance (default: %(default)s)")
    parser.add_argument("--decode_batches", type=int, nargs="+", default=[1, 16], help="utterances (default: 1 16)")
    parser.add_argument("--updates", type=int, default=4, help="batches a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of all (default: %(default)s)")
    add_report_options(parser, "asr_speed")
    return parser.parse_args()


def main() -> None:
    """Measures training, then decoding; prints a table of each."""
    options = parse_options()
    environment = Environment.here(options.threads)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    modules = {name: module_of([CONFIGS / f"{each}.yaml" for each in ENCODERS[name]]) for name in options.encoders}
    title = f"Speech, training: batches of {options.batch_seconds:g} s, utterances of up to {options.seconds:g} s"
    header: tuple[str, ...] = ("encoder", "parameters", "sound s/s", "lowest–highest", "sound s/processor s")
    ending = f"; median of {options.rounds} rounds"
    publish(title + ending, header, train_rows(modules, options), environment, options.output)
    beam = next(iter(modules.values())).generation.beam_size
    title = f"Speech, decoding: utterances of {options.seconds:g} s, {TOKENS:g} tokens a second, beam {beam}"
    header = ("encoder, mode", "batch", "RTF", "lowest", "highest", "RTF by processor time")
    path = options.output.with_stem(f"{options.output.stem}_decoding")
    publish(title + ending, header, decode_rows(modules, options), environment, path)


if __name__ == "__main__":
    main()

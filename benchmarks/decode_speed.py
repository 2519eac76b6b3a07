"""Decoding speed beside transformers' `generate`: `python -m benchmarks.decode_speed`.

Both write with the same weights for the same batches, greedily and with a beam, in alternating rounds. That they write
the same is checked first. The weights come from a checkpoint of ours (`--ckpt_path`, with `--input`, a file of
sentences), or from a model that learns, the first time, to copy words: random weights would never end a sentence.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from benchmarks.report import Environment, add_report_options, median, publish, spread
from benchmarks.shapes import FIRST_WORD, Shape, add_shape_options, chosen_shape, random_text
from benchmarks.train_speed import our_step
from benchmarks.weights import transformers_twin
from core.batch import Seq2SeqBatch, TextBatch
from core.data.encode import Limits, close_source
from core.data.text import read_lines
from core.errors import PolyseqError
from core.generation import GenerationOptions, generate
from core.masks import length_mask
from core.seq2seq import EncoderDecoder
from core.tokenization import Specials

Order = Literal["length", "given"]
Writer = Callable[[TextBatch], list[tuple[int, ...]]]
LEAST_AGREEMENT = 0.99  # two sentences of nearly equal score may change places by rounding


def our_writer(model: EncoderDecoder, beam: int, longest: int, specials: Specials) -> Writer:
    """Our generation, without a length penalty: scores are then the same in both by definition."""
    options = GenerationOptions(beam_size=beam, max_length=longest, length_penalty="none", stop="count")
    return lambda source: [found[0].tokens for found in generate(model, source, options, specials)]


def their_writer(model: Any, beam: int, longest: int, specials: Specials) -> Writer:
    """Transformers' `generate`, which stops a sentence as ours does: with as many finished hypotheses as beams."""
    options: dict[str, Any] = {"num_beams": beam, "do_sample": False, "max_new_tokens": longest + 1}
    if beam > 1:
        options |= {"early_stopping": True, "length_penalty": 0.0}

    def write(source: TextBatch) -> list[tuple[int, ...]]:
        mask = length_mask(source.lengths, source.values.size(1)).long()
        with torch.inference_mode():
            rows = model.generate(input_ids=source.values, attention_mask=mask, **options)
        return [until_end(row[1:].tolist(), specials.eos)[:longest] for row in rows]

    return write


def until_end(tokens: list[int], eos: int) -> tuple[int, ...]:
    """The tokens before the end token."""
    return tuple(tokens[: tokens.index(eos)] if eos in tokens else tokens)


def agreement(ours: Writer, theirs: Writer, batches: Sequence[TextBatch]) -> tuple[float, float]:
    """The share of sentences for which both write the same, and how many tokens they have on average."""
    pairs = [pair for batch in batches for pair in zip(ours(batch), theirs(batch), strict=True)]
    same = sum(mine == other for mine, other in pairs)
    return same / len(pairs), sum(len(mine) for mine, _ in pairs) / len(pairs)


@dataclass(frozen=True)
class Speed:
    """Sentences a second of one round, by the clock and by the processor time of this process."""

    wall: float
    processor: float


def measure(writer: Writer, batches: Sequence[TextBatch]) -> Speed:
    """Times one pass over the sentences."""
    wall, processor = time.perf_counter(), time.process_time()
    for batch in batches:
        writer(batch)
    sentences = sum(len(batch) for batch in batches)
    return Speed(sentences / (time.perf_counter() - wall), sentences / (time.process_time() - processor))


def compare(writers: dict[str, Writer], batches: Sequence[TextBatch], rounds: int) -> dict[str, list[Speed]]:
    """Lets the writers take turns over the same batches."""
    speeds: dict[str, list[Speed]] = {name: [] for name in writers}
    for _ in range(rounds):
        for name, writer in writers.items():
            speeds[name].append(measure(writer, batches))
    return speeds


def in_batches(sentences: Sequence[Sequence[int]], size: int, order: Order) -> list[TextBatch]:
    """Makes batches of sentences as they come, or of similar length as our loader does."""
    ordered = sorted(sentences, key=len) if order == "length" else sentences
    parts = [ordered[begin : begin + size] for begin in range(0, len(ordered), size)]
    return [padded(part) for part in parts]


def padded(sentences: Sequence[Sequence[int]]) -> TextBatch:
    """Makes one batch."""
    lengths = torch.tensor([len(sentence) for sentence in sentences])
    values = torch.full((len(sentences), int(lengths.max())), Specials().pad)
    for row, sentence in zip(values, sentences, strict=True):
        row[: len(sentence)] = torch.tensor(sentence)
    return TextBatch(values, lengths)


def copying_sentences(count: int, words: int, length: int, seed: int) -> list[list[int]]:
    """Draws sentences of half the length up to the whole length, end token included."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(length // 2, length + 1, (count,), generator=generator)
    text = random_text(lengths, FIRST_WORD + words, generator)
    text.values[torch.arange(count), lengths - 1] = Specials().eos
    return [row[:size].tolist() for row, size in zip(text.values, lengths.tolist(), strict=True)]


def copying_model(shape: Shape, words: int, length: int, updates: int, folder: Path) -> EncoderDecoder:
    """A model that has learnt to copy; kept in a file, so that it is trained once."""
    shape = replace(shape, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0)
    torch.manual_seed(0)
    model = shape.build().train()
    weights = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
    name = sha256(repr((shape, weights, words, length, updates)).encode()).hexdigest()[:12]
    path = folder / f"copy-{name}.pt"
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    step = our_step(model, "fp32")
    sentences = copying_sentences(64 * updates, words, length, seed=1)
    for number in range(updates):
        if number % 50 == 0:
            print(f"learning to copy: update {number} of {updates}", file=sys.stderr, flush=True)
        batch = padded(sentences[64 * number : 64 * (number + 1)])
        step(Seq2SeqBatch(batch, batch, tuple(range(len(batch)))))
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), path)
    return model.eval()


@dataclass(frozen=True)
class Task:
    """What is decoded: a model, the special ids that it writes, its sources (ids, end token included), and a title."""

    model: EncoderDecoder
    specials: Specials
    sentences: list[list[int]]
    title: str


def chosen_task(options: argparse.Namespace) -> Task:
    """The checkpoint's model with the sentences of a file, or the copying model with sentences of its kind."""
    if options.ckpt_path is None:
        shape = chosen_shape(options)
        folder = options.output.parent
        model = copying_model(shape, options.words, options.length, options.train_updates, folder)
        sentences = copying_sentences(options.sentences, options.words, options.length, seed=2)
        return Task(model, Specials(), sentences, f"copying with {shape}")
    from tasks.mt.module import MtModule

    module = MtModule.load(options.ckpt_path)
    tokenizer = module.vocabularies.source
    assert tokenizer is not None
    lines = read_lines(options.input)[: options.sentences]
    ids = [close_source(tokenizer.encode(line), Limits(), tokenizer.specials.eos) for line in lines]
    return Task(module.model, module.specials, ids, f"{options.ckpt_path} on {options.input}")


def parse_options() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decode_speed", description=__doc__)
    parser.add_argument("--ckpt_path", type=Path, help="a checkpoint of tasks.mt with a Transformer")
    parser.add_argument("--input", type=Path, help="its source sentences, one a line")
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 5], help="beam sizes (default: 1 5)")
    parser.add_argument("--batch_size", type=int, default=64, help="sentences a batch (default: %(default)s)")
    parser.add_argument(
        "--order",
        choices=get_args(Order),
        default="length",
        help="sorted by length, or as given (default: %(default)s)",
    )
    parser.add_argument("--sentences", type=int, default=512, help="how many (default: %(default)s)")
    parser.add_argument("--longest", type=int, default=100, help="tokens at most (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all (default: %(default)s)")
    copying = parser.add_argument_group("copying, without --ckpt_path")
    copying.add_argument("--words", type=int, default=100, help="different words (default: %(default)s)")
    copying.add_argument("--length", type=int, default=20, help="tokens of the longest (default: %(default)s)")
    copying.add_argument("--train_updates", type=int, default=400, help="to learn it (default: %(default)s)")
    add_shape_options(parser)
    add_report_options(parser, "decode_speed")
    options = parser.parse_args()
    if (options.ckpt_path is None) != (options.input is None):
        parser.error("--ckpt_path and --input go together")
    return options


def main() -> None:
    """Checks that both write the same, measures, prints."""
    options = parse_options()
    environment = Environment.here(options.threads)
    torch.set_num_threads(options.threads)
    task = chosen_task(options)
    batches = in_batches(task.sentences, options.batch_size, options.order)
    twin = transformers_twin(task.model, task.specials)
    rows: list[tuple[object, ...]] = []
    for beam in options.beams:
        writers = {
            "polyseq": our_writer(task.model, beam, options.longest, task.specials),
            "transformers": their_writer(twin, beam, options.longest, task.specials),
        }
        share, length = agreement(writers["polyseq"], writers["transformers"], batches)
        print(f"beam {beam}: {share:.2%} written alike, {length:.1f} tokens on average", file=sys.stderr, flush=True)
        if share < LEAST_AGREEMENT:
            sys.exit("error: ours and transformers' don't write the same: nothing to compare")
        speeds = compare(writers, batches, options.rounds)
        base = median([each.wall for each in speeds["transformers"]])
        for name, found in speeds.items():
            walls = [each.wall for each in found]
            processor = median([each.processor for each in found])
            label = f"{name}, {'greedy' if beam == 1 else f'beam {beam}'}"
            rows.append((label, median(walls), spread(walls), processor, median(walls) / base, f"{share:.2%}"))
    header = ("model", "sentences/s", "lowest–highest", "sentences/processor s", "times generate", "written alike")
    title = (
        f"Decoding: {task.title}; {len(task.sentences)} sentences, batch {options.batch_size}, order: {options.order}"
    )
    publish(f"{title}; median of {options.rounds} rounds", header, rows, environment, options.output)


if __name__ == "__main__":
    try:
        main()
    except PolyseqError as error:
        sys.exit(f"error: {error}")

"""The copy task beside other toolkits: `python -m benchmarks.peers --sockeye /venv/bin/python --joeynmt ...`.

The same sentences, the same architecture and the same number of updates of about the same number of target tokens,
each toolkit by its own command line, one after the other and in alternating rounds. What is measured is the processor
time of the whole process and its children, start-up included.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sacrebleu

from benchmarks.copy_task import CopyTask
from benchmarks.report import Environment, add_report_options, median, publish
from benchmarks.toolkits import JoeyNMT, Polyseq, Recipe, Sockeye, Toolkit


@dataclass(frozen=True)
class Cost:
    """What a command took.

    Attributes:
        user: user processor seconds of it and its children.
        wall: seconds on the clock.
    """

    user: float
    wall: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.user + other.user, self.wall + other.wall)


class CommandError(Exception):
    """A toolkit's command ended with an error; its log says which."""


def run_command(command: Sequence[str], log: Path, stdin: Path | None = None, stdout: Path | None = None) -> Cost:
    """Runs a command to its end with its messages in a log, and tells what it took.

    Raises:
        CommandError: it exited with an error; the message has the log's last lines.
    """
    source = open(stdin or os.devnull, "rb")  # noqa: SIM115 (closed below)
    with source, log.open("wb") as messages, open(stdout or os.devnull, "wb") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=source, stdout=output if stdout else messages, stderr=messages, env=one_thread_environment()
        )
        _, status, usage = os.wait4(process.pid, 0)  # with the resources of this child and of those that it waited for
        wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise CommandError(f"{' '.join(command)}\nexited with {process.returncode}:\n{tail}")
    return Cost(usage.ru_utime, wall)


def one_thread_environment() -> dict[str, str]:
    """This process's environment with every known library held to one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    return {**os.environ, **threads, "TOKENIZERS_PARALLELISM": "false", "CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Outcome:
    """One toolkit's round: its costs, and the BLEU of what it wrote for the test sentences."""

    train: Cost
    decode: Cost
    bleu: float


def run_round(toolkit: Toolkit, recipe: Recipe, folder: Path) -> Outcome:
    """Trains and decodes once in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    train = Cost(0.0, 0.0)
    for number, command in enumerate(toolkit.train_commands(recipe, folder)):
        train += run_command(command, folder / f"train{number}.log")
    output = folder / "hypotheses.txt"
    decoding = toolkit.decode_command(recipe, folder, output)
    decode = run_command(
        decoding.command,
        folder / "decode.log",
        stdin=recipe.files["test.src"] if decoding.reads_stdin else None,
        stdout=output if decoding.writes_stdout else None,
    )
    return Outcome(train, decode, corpus_bleu(output, recipe.files["test.tgt"]))


def corpus_bleu(hypotheses: Path, references: Path) -> float:
    """BLEU of a file of hypotheses, without any tokenisation: the words of the copy task are what they are."""
    found, wanted = hypotheses.read_text().splitlines(), references.read_text().splitlines()
    if len(found) != len(wanted):
        raise CommandError(f"{hypotheses} has {len(found)} lines for {len(wanted)} sentences")
    return sacrebleu.corpus_bleu(found, [wanted], tokenize="none").score


def chosen_toolkits(options: argparse.Namespace) -> list[Toolkit]:
    """Ours, and those whose interpreter was given."""
    toolkits: list[Toolkit] = [Polyseq(sys.executable)]
    if options.sockeye:
        toolkits.append(Sockeye(options.sockeye))
    if options.joeynmt:
        toolkits.append(JoeyNMT(options.joeynmt))
    return toolkits


def parse_options() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--sockeye", type=Path, help="the python of a virtual environment with sockeye 3.1")
    parser.add_argument("--joeynmt", type=Path, help="the python of a virtual environment with joeynmt 2.3")
    parser.add_argument("--updates", type=int, default=800, help="updates of training (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of all toolkits (default: %(default)s)")
    parser.add_argument(
        "--folder", type=Path, default=Path("runs/benchmarks/peers"), help="data, models, logs (default: %(default)s)"
    )
    add_report_options(parser, "peers")
    return parser.parse_args()


def main() -> None:
    """Runs all toolkits in turn and prints medians."""
    options = parse_options()
    if options.threads != 1:
        sys.exit("error: --threads: peers are measured with one thread each, by processor time")
    environment = Environment.here(1)
    folder = options.folder.resolve()
    recipe = Recipe(files=CopyTask().write(folder / "data"), updates=options.updates)
    outcomes: dict[str, list[Outcome]] = {}
    for number in range(options.rounds):
        for toolkit in chosen_toolkits(options):
            print(f"round {number + 1} of {options.rounds}: {toolkit.name}", file=sys.stderr, flush=True)
            outcomes.setdefault(toolkit.name, []).append(run_round(toolkit, recipe, folder / type(toolkit).__name__))
    header = ("toolkit", "train, user s", "train, wall s", "decode, user s", "decode, wall s", "BLEU")
    rows = [
        (
            name,
            median([each.train.user for each in rounds]),
            median([each.train.wall for each in rounds]),
            median([each.decode.user for each in rounds]),
            median([each.decode.wall for each in rounds]),
            min(each.bleu for each in rounds),
        )
        for name, rounds in outcomes.items()
    ]
    title = f"Copy task: {options.updates} updates, then 2,000 sentences with beam 5; median of {options.rounds}"
    publish(title, header, rows, environment, options.output)


if __name__ == "__main__":
    try:
        main()
    except CommandError as error:
        sys.exit(f"error: {error}")

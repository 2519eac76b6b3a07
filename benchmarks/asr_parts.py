"""What each part of speech recognition is worth, and each encoder: `python -m benchmarks.asr_parts`.

Each row is a run of the documented command line, `python -m tasks.asr fit` and then `test`, in processes of their own.
Rows that are finished are kept in the folder and not run again: a killed benchmark goes on with the row it was at.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import Environment, publish
from core.checkpoint import read_checkpoint

TABLES = ("parts", "encoders")
HEADER = ("run", "parameters", "minutes", "best update", "WER", "CER", "RTF")


@dataclass(frozen=True)
class Variant:
    """A row of a table: what differs from the recipe.

    Attributes:
        name: of the row.
        fit: options of `fit` after the recipe's.
        test: options of `test`.
    """

    name: str
    fit: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The name of its run."""
        return "-".join("".join(letter if letter.isalnum() or letter == "." else " " for letter in self.name).split())


RECIPE = Variant("the recipe")
PARTS = (
    RECIPE,
    Variant(
        "attention alone (CTC weight 0)",
        ("--model.objective.ctc_weight=0", "--model.fit_decoding=attention"),
        ("--model.decoding=attention",),
    ),
    Variant("CTC weight 0.2", ("--model.objective.ctc_weight=0.2",)),
    Variant("CTC weight 0.7", ("--model.objective.ctc_weight=0.7",)),
    Variant("CTC alone (weight 1)", ("--model.objective.ctc_weight=1",), ("--model.decoding=ctc_greedy",)),
    Variant(
        "without SpecAugment",
        ("--model.frontend.spec_augment.frequency_masks=0", "--model.frontend.spec_augment.time_masks=0"),
    ),
    Variant("without speed perturbation", ("--model.frontend.speed=[]",)),
)


@dataclass(frozen=True)
class Result:
    """What a row's runs gave.

    Attributes:
        commands: the two command lines, without the interpreter.
        parameters: of the model.
        minutes: processor time of `fit`, user and system.
        update: at which the checkpoint that was scored was written.
        wer: word error rate on the test split, in percent.
        cer: character error rate, in percent.
        rtf: seconds of `test` a second of sound, by the clock.
        signature: of the word error rate.
    """

    commands: tuple[str, str]
    parameters: int
    minutes: float
    update: int
    wer: float
    cer: float
    rtf: float
    signature: str

    def row(self, name: str) -> tuple[object, ...]:
        """The row of a table, under `HEADER`."""
        return name, self.parameters, self.minutes, self.update, self.wer, self.cer, self.rtf


def encoder_variants(recipes: Sequence[Path]) -> tuple[Variant, ...]:
    """The recipe itself, then with each of the recipes that change its encoder on top."""
    return (RECIPE, *(Variant(recipe.stem, ("--config", str(recipe))) for recipe in recipes))


class Bench:
    """Runs rows, each once.

    Args:
        folder: where runs and finished rows are.
        config: the recipe.
        updates: of each run; None for the recipe's own.
        options: what all runs get beside.
    """

    def __init__(self, folder: Path, config: Path, updates: int | None, options: Sequence[str]) -> None:
        self.folder, self.config, self.options = folder, config, list(options)
        if updates is not None:
            self.options += [f"--trainer.max_steps={updates}", f"--trainer.val_check_interval={max(updates // 5, 1)}"]

    def commands(self, variant: Variant) -> tuple[list[str], list[str]]:
        """The command lines of a row, without the interpreter."""
        place = [f"--trainer.default_root_dir={self.folder}", f"--run={variant.folder}"]
        fit = ["-m", "tasks.asr", "fit", "--config", str(self.config), *variant.fit, *self.options, *place]
        best = self.folder / "asr" / variant.folder / "best.ckpt"
        return fit, ["-m", "tasks.asr", "test", "--ckpt_path", str(best), *variant.test]

    def run(self, variant: Variant) -> Result:
        """Gives a row's result: from its file, if the same commands made it, or by running them.

        Raises:
            SystemExit: a command failed; its output is in the run's folder.
        """
        fit, test = self.commands(variant)
        commands = (shlex.join(fit), shlex.join(test))
        run = self.folder / "asr" / variant.folder
        kept = run / "row.json"
        if kept.exists() and tuple((found := json.loads(kept.read_text()))["commands"]) == commands:
            return Result(**found | {"commands": commands})
        run.mkdir(parents=True, exist_ok=True)
        minutes = execute(fit, run / "fit.log") / 60
        execute(test, run / "test.log")
        result = collected(run / "best.ckpt", commands, minutes)
        kept.write_text(json.dumps(asdict(result), indent=2) + "\n")
        return result


def execute(command: Sequence[str], log: Path) -> float:
    """Runs a command of Python's, its output in a file, and returns the seconds of processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"python {shlex.join(command)} > {log}", file=sys.stderr, flush=True)
    with log.open("w", encoding="utf-8") as output:
        code = subprocess.run([sys.executable, *command], stdout=output, stderr=subprocess.STDOUT).returncode
    if code:
        sys.exit(f"error: exit code {code}; see {log}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def collected(best: Path, commands: tuple[str, str], minutes: float) -> Result:
    """Reads the checkpoint and what `test` left beside it."""
    report: dict[str, Any] = json.loads(best.with_suffix(".test.json").read_text(encoding="utf-8"))
    checkpoint = read_checkpoint(best, "asr")
    parameters = sum(value.numel() for name, value in checkpoint["state_dict"].items() if name.startswith("model."))
    scores = report["scores"]
    return Result(
        commands, parameters, minutes, checkpoint["global_step"],
        scores["wer"], scores["cer"], scores["rtf"], report["signatures"]["wer"],
    )  # fmt: skip


def parse_options() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asr_parts", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("configs/asr/an4.yaml"), help="(default: %(default)s)")
    parser.add_argument("--updates", type=int, help="of each run (default: the recipe's)")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="(default: both)")
    parser.add_argument(
        "--encoders",
        nargs="*",
        type=Path,
        default=[Path("configs/asr/an4_transformer.yaml"), Path("configs/asr/an4_las.yaml")],
        help="recipes that change the encoder of --config (default: the two of AN4)",
    )
    parser.add_argument("--options", default="", help='further options of all fits, "--model.encoder.num_layers=2"')
    parser.add_argument("--threads", type=int, default=1, help="of each run (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/asr_parts"), help="(default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    """Runs the rows that aren't finished, and prints each table when it is."""
    options = parse_options()
    environment = Environment.here(options.threads)
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    bench = Bench(options.folder, options.config, options.updates, shlex.split(options.options))
    for table in options.tables:
        variants = PARTS if table == "parts" else encoder_variants(options.encoders)
        results = [(variant.name, bench.run(variant)) for variant in variants]
        updates = f"{options.updates:,} updates" if options.updates else "its own updates"
        signature = results[0][1].signature
        title = f"{options.config}, {table}: {updates}; minutes of processor time; {signature}"
        publish(
            title, HEADER, [result.row(name) for name, result in results], environment, options.folder / f"{table}.json"
        )


if __name__ == "__main__":
    main()

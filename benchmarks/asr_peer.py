"""SpeechBrain beside ours on one corpus, for as long: `python -m benchmarks.asr_peer --speechbrain VENV/bin/python`.

Ours trains by a recipe; SpeechBrain's CRDNN then trains for as long on the same manifest (`speechbrain_crdnn.py`), and
both recognise the same held-out one, with joint beam search of the same width and batches of the same size.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import jiwer
import yaml

from benchmarks.asr_parts import RECIPE, Bench
from benchmarks.report import Environment, publish

HEADER = ("toolkit", "parameters", "training, minutes", "sound s/s", "WER", "CER", "RTF")
BEAM = 6  # of configs/asr/default.yaml
SCRIPT = Path(__file__).with_name("speechbrain_crdnn.py")


def train_and_test_peer(python: Path, train: Path, test: Path, minutes: float, folder: Path) -> tuple[object, ...]:
    """Runs SpeechBrain's side and makes its row.

    Raises:
        SystemExit: its program failed; its output is in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    output, log = folder / "speechbrain.json", folder / "speechbrain.log"
    command = [
        str(python), "-W", "ignore", str(SCRIPT), "--train", str(train), "--test", str(test), "--output", str(output),
        "--seconds", str(60 * minutes), "--beam", str(BEAM),
    ]  # fmt: skip
    print(f"{shlex.join(command)} > {log}", file=sys.stderr, flush=True)
    with log.open("w", encoding="utf-8") as messages:
        if subprocess.run(command, stdout=messages, stderr=subprocess.STDOUT).returncode:
            sys.exit(f"error: SpeechBrain's side failed; see {log}")
    found = json.loads(output.read_text(encoding="utf-8"))
    references, hypotheses = found["references"], found["hypotheses"]
    wer, cer = 100 * jiwer.wer(references, hypotheses), 100 * jiwer.cer(references, hypotheses)
    return "SpeechBrain CRDNN + GRU", found["parameters"], found["minutes"], found["pace"], wer, cer, found["rtf"]


def parse_options() -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.asr_peer", description=__doc__)
    parser.add_argument("--speechbrain", type=Path, required=True, help="the python of an environment that has it")
    parser.add_argument("--config", type=Path, default=Path("configs/asr/an4.yaml"), help="(default: %(default)s)")
    parser.add_argument("--updates", type=int, default=4000, help="of ours (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/asr_parts"), help="(default: %(default)s)")
    return parser.parse_args()


def main() -> None:
    """Runs ours, unless it is finished, then SpeechBrain's, and prints both."""
    options = parse_options()
    environment = Environment.here(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    data = yaml.safe_load(options.config.read_text(encoding="utf-8"))["data"]
    manifests = data["corpus"]["init_args"]
    bench = Bench(options.folder, options.config, options.updates, [])
    ours = bench.run(RECIPE)
    peer = train_and_test_peer(
        options.speechbrain, Path(manifests["train"]), Path(manifests["val"]), ours.minutes, options.folder
    )
    pace = options.updates * data["batch_seconds"] / (60 * ours.minutes)  # validations and start-up count as well
    row = ("polyseq", ours.parameters, ours.minutes, pace, ours.wer, ours.cer, ours.rtf)
    title = f"{options.config}: {options.updates:,} updates of ours, SpeechBrain for as long; beam {BEAM} with CTC"
    publish(f"{title}; {ours.signature}", HEADER, [row, peer], environment, options.folder / "asr_peer.json")


if __name__ == "__main__":
    main()

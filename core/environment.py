"""What a run was made in: versions, machine, source, command. Kept beside it as environment.json."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from core.checkpoint import package_version

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "torch", "torchvision", "torchaudio", "lightning", "jsonargparse", "transformers", "datasets", "tokenizers",
    "sentencepiece", "torchmetrics", "safetensors", "sacrebleu", "rouge-score", "jiwer", "soundfile", "pillow", "numpy",
)  # fmt: skip
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "POLYSEQ_CACHE")


def environment(task: str, verb: str, arguments: Sequence[str], seed: int, ranks: int) -> dict[str, Any]:
    """Gathers it, as plain data.

    Args:
        task: its name.
        verb: what runs.
        arguments: all that stands behind the verb.
        seed: of weights, batches and dropout.
        ranks: how many processes train together.
    """
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", f"tasks.{task}", verb, *arguments]),
        "folder": str(Path.cwd()),
        "seed": seed,
        "ranks": ranks,
        "host": platform.node(),
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "python": platform.python_version(),
        "polyseq": package_version(),
        "source": source_state(ROOT),
        "packages": {name: found for name in PACKAGES if (found := installed_version(name)) is not None},
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def source_state(folder: Path) -> dict[str, Any] | None:
    """The commit that a folder's source is at, and what differs from it; None where it isn't under git."""
    commit = _git(folder, "rev-parse", "HEAD")
    top = _git(folder, "rev-parse", "--show-toplevel")
    if commit is None or top is None or Path(top).resolve() != folder.resolve():
        return None  # site-packages within somebody else's repository
    changed = _git(folder, "status", "--porcelain") or ""
    return {"commit": commit, "changed": [line.strip() for line in changed.splitlines()]}


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.rstrip() if done.returncode == 0 else None


def installed_version(package: str) -> str | None:
    """The version of an installed package, None where it isn't installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """The processor's name: Linux alone tells more than its family."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

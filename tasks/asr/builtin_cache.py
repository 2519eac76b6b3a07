"""Records the built-in corpus once: in parallel, into a cache that a killed process leaves whole."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from core.data.corpus import Split
from core.data.locking import locked
from core.errors import ConfigError
from tasks.asr.builtin_sound import SAMPLE_RATE, Request

BUNDLE = 100  # utterances a process; of a fixed size, since what a process says depends on what it said before
SOUND = 1  # to be raised with every change of what the same requests sound like
ROOT = Path(__file__).parents[2]


def cached_recordings(requests: Mapping[Split, Sequence[Request]], cache: Path) -> Path:
    """Takes the recordings of these requests from the cache, or makes them.

    Processes that want the same ones at the same time wait for the first, which makes them.

    Args:
        requests: by split; their paths are relative to the folder that is returned.
        cache: a directory, made if needed.

    Returns:
        the folder with the sound and a manifest a split: train.jsonl, val.jsonl, test.jsonl.

    Raises:
        ConfigError: espeak-ng isn't installed, or doesn't work.
    """
    folder = cache / "speech" / _key(requests)
    with locked(folder.with_suffix(".lock")):
        if not folder.exists():
            for left in folder.parent.glob(f"{folder.name}.making-*"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            # A name of its own: what a killed process has started may still be writing into the last one.
            making = folder.with_suffix(f".making-{os.getpid()}")
            count = sum(map(len, requests.values()))
            print(f"synthesising {count:,} utterances, once, into {folder}", file=sys.stderr)
            _make(requests, making)
            making.rename(folder)
    return folder


def _key(requests: Mapping[Split, Sequence[Request]]) -> str:
    try:
        digest = hashlib.sha256(f"{SOUND} {BUNDLE} {version('espeakng-loader')}".encode())
    except PackageNotFoundError:
        raise ConfigError(
            "the built-in speech is synthesised by espeakng-loader, which isn't installed; "
            'mend: pip install "polyseq[speech]", or give another data.corpus'
        ) from None
    for split, some in requests.items():
        digest.update("\n".join((split, *(request.to_json() for request in some), "")).encode())
    return digest.hexdigest()[:20]


def _make(requests: Mapping[Split, Sequence[Request]], folder: Path) -> None:
    """Records everything, then writes the manifests."""
    every = [request for some in requests.values() for request in some]
    for parent in {Path(request.audio).parent for request in every}:
        (folder / parent).mkdir(parents=True, exist_ok=True)
    bundles = [every[start : start + BUNDLE] for start in range(0, len(every), BUNDLE)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = [count for some in pool.map(partial(_record, folder=folder), bundles) for count in some]
    lengths = {request.audio: count for request, count in zip(every, counts, strict=True)}
    for split, some in requests.items():
        lines = (json.dumps(_manifest_row(request, lengths[request.audio])) for request in some)
        (folder / f"{split}.jsonl").write_text("\n".join((*lines, "")))


def _manifest_row(request: Request, length: int) -> dict[str, str | float]:
    return {
        "audio": request.audio,
        "text": request.text,
        "speaker": request.manner.voice,
        "duration": length / SAMPLE_RATE,
    }


def _record(bundle: Sequence[Request], folder: Path) -> list[int]:
    """Records a bundle in a process of its own, and returns the lengths in samples."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.run(
        [sys.executable, "-m", "tasks.asr.builtin_sound"],
        input="\n".join(request.to_json() for request in bundle),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        said = process.stderr.strip().splitlines() or [f"it ended with {process.returncode}"]
        raise ConfigError(f"the built-in speech can't be synthesised: {said[-1]}")
    return [int(line) for line in process.stdout.split()]

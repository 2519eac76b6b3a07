"""`python -m tasks.captioning draw`: scenes to try a model on, with what may be said of them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from tasks.captioning.builtin import BuiltInScenes


def main(arguments: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        ConfigError: a number is out of its range.
    """
    parser = argparse.ArgumentParser(prog="python -m tasks.captioning draw", description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write the PNG files, and captions.jsonl")
    parser.add_argument("count", type=int, nargs="?", default=12, help="how many scenes of the test split")
    parser.add_argument("--side", type=int, default=64, help="of the images, in pixels")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for scene in BuiltInScenes(test_size=options.count, side=options.side).read("test"):
        assert scene.image.data is not None
        (options.folder / scene.name).write_bytes(scene.image.data)
        lines.append(json.dumps({"image": scene.name, "captions": scene.captions}) + "\n")
    (options.folder / "captions.jsonl").write_text("".join(lines), encoding="utf-8")
    print(f"drawn: {len(lines)} scenes and captions.jsonl in {options.folder}")

"""The command line of captioning, from training to pictures of attention, on a few scenes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from core.runner import run
from tasks.captioning.__main__ import load
from tasks.captioning.draw import main as draw
from tasks.captioning.predict import local_path
from tests.core.shell import Shell, make_shell
from tests.tasks.captioning.tiny import SIZES, tiny_options, write_scenes

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs `python -m tasks.captioning ...` in this process."""
    return make_shell("captioning", load, monkeypatch, capsys)


@pytest.fixture(scope="module")
def best(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a few updates, beside the scenes."""
    folder = tmp_path_factory.mktemp("captioning")
    write_scenes(folder)
    options = ["--trainer.max_steps=12", "--trainer.val_check_interval=6", f"--trainer.default_root_dir={folder}"]
    run("captioning", "fit", [*tiny_options(folder), *options, "--run=a"], load)
    return folder / "captioning" / "a" / "best.ckpt"


def test_a_checkpoint_is_scored_and_reported(best: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.captioning.module.folder", lambda: None)  # Java takes ten seconds to start
    shown = shell("test", "--ckpt_path", best, "--trainer.accelerator=cpu")
    assert shown.code == 0, shown.err
    scores = json.loads(best.with_suffix(".test.json").read_text())
    assert {"bleu_4", "rouge_l", "cider_d", "distinct_2", "novel"} <= scores["scores"].keys()
    assert scores["examples"] == SIZES["test"]
    report = best.with_suffix(".test.txt").read_text()
    for part in ("this model", "constant", "random", "human", "Worst captions"):
        assert part in report
    page = best.with_suffix(".test.html").read_text()
    assert page.count("<figure>") == SIZES["test"]
    assert page.count("data:image/jpeg;base64,") == SIZES["test"]


def test_images_are_captioned_and_damaged_ones_reported(best: Path, shell: Shell, tmp_path: Path) -> None:
    images = tmp_path / "in"
    (images / "deep").mkdir(parents=True)
    for number, name in enumerate(("a.png", "deep/b.PNG")):
        (images / name).write_bytes((best.parents[2] / f"test-0000{number}.png").read_bytes())
    (images / "bad.jpg").write_bytes(b"\xff\xd8nothing")
    (images / "notes.txt").write_text("not an image")
    options = ["--ckpt_path", best, "--trainer.accelerator=cpu", "--model.generation.n_best=2"]
    attention = tmp_path / "looks"
    shown = shell("predict", *options, "--input", images.as_uri(), "--attention", attention, "--output", tmp_path / "o")
    assert shown.code == 0, shown.err
    assert "bad.jpg" in shown.err
    lines = [line.split("\t") for line in (tmp_path / "o").read_text().splitlines()]
    assert [Path(line[0]).name for line in lines] == ["a.png", "bad.jpg", "b.PNG"]
    assert [len(line) for line in lines] == [3, 2, 3]
    assert [path.name for path in sorted(attention.rglob("*.png"))] == ["a.png.png", "b.PNG.png"]
    with Image.open(attention / "deep" / "b.PNG.png") as picture:
        assert picture.width > 500

    one = shell("predict", *options, "--input", images / "a.png", "--format=jsonl")
    row = json.loads(one.out)
    assert [caption["text"] for caption in row["captions"]] == lines[0][1:]
    assert row["captions"][0]["score"] >= row["captions"][1]["score"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("https://example.org/a.png", "only file:///PATH is read"),
        ("file://elsewhere/a.png", "only file:///PATH is read"),
        ("nowhere.png", "there is no such file"),
    ],
)
def test_what_is_no_image_here_is_refused(best: Path, shell: Shell, given: str, said: str) -> None:
    shown = shell("predict", "--ckpt_path", best, "--input", given)
    assert shown.code in (1, 2)
    assert said in shown.err
    assert len(shown.err.splitlines()) == 1


def test_a_file_url_is_a_path() -> None:
    assert local_path("file:///a%20b/c.png") == Path("/a b/c.png")
    assert local_path("a%20b.png") == Path("a%20b.png")


def test_self_critical_training_goes_on_from_a_checkpoint(best: Path, shell: Shell, tmp_path: Path) -> None:
    options = [
        "--model.objective=core.self_critical.SelfCritical",
        "--model.objective.samples=2",
        "--fit.weights",
        best,
    ]
    options += [
        "--trainer.max_steps=2",
        "--trainer.val_check_interval=2",
        "--trainer.log_every_n_steps=1",
        "--run=scst",
    ]
    shown = shell("fit", *tiny_options(best.parents[2]), *options, f"--trainer.default_root_dir={tmp_path}")
    assert shown.code == 0, shown.err
    with (tmp_path / "captioning" / "scst" / "metrics.csv").open() as file:
        rewards = [float(row["train/reward"]) for row in csv.DictReader(file) if row.get("train/reward")]
    assert len(rewards) == 2
    assert all(reward >= 0 for reward in rewards)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--data.transform.size=48", "data.transform.size is 48, but model.encoder.image_size is 32"),
        ("--data.transform.mean=[0.1, 0.5, 0.5]", "set data.transform.mean to that"),
        ("--data.features={}", "model.encoder isn't one"),
    ],
)
def test_images_that_do_not_fit_the_encoder_are_refused(best: Path, shell: Shell, option: str, said: str) -> None:
    folder = best.parents[2]
    shown = shell("fit", *tiny_options(folder), option, "--trainer.fast_dev_run=1")
    assert shown.code == 2
    assert said in shown.err


def test_scenes_are_drawn_for_trying(tmp_path: Path) -> None:
    draw([str(tmp_path / "scenes"), "3", "--side", "32"])
    rows = [json.loads(line) for line in (tmp_path / "scenes" / "captions.jsonl").read_text().splitlines()]
    assert [len(row["captions"]) for row in rows] == [5, 5, 5]
    with Image.open(tmp_path / "scenes" / rows[2]["image"]) as image:
        assert image.size == (32, 32)

"""`python -m tasks.qa` from training to answers, in both forms."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoint import read_checkpoint
from core.cli import main
from core.errors import ConfigError
from core.objectives import CrossEntropy
from core.runner import run
from core.span.model import SpanModel
from tasks.qa.__main__ import load
from tasks.qa.answers import Answer, in_its_sentence
from tasks.qa.module import QaModule, check_form
from tests.tasks.qa.tiny import question_options, write_questions

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
STORY = "Anna went to the garden. Boris took the lamp.\nAnna moved to the cellar."
TRANSFORMER = {"d_model": 16, "num_layers": 1, "num_heads": 2, "ffn_size": 16, "dropout": 0.0}
SPAN = [
    "--model.answer=span",
    "--model.encoder=core.encoders.transformer.TransformerEncoder",
    *(f"--model.encoder.{name}={value}" for name, value in TRANSFORMER.items()),
    "--model.encoder.num_segments=2",
]
WRITE = [f"--model.encoder.{name}={value}" for name, value in {"d_model": 16, "num_heads": 2, "num_steps": 2}.items()]
WRITE += [f"--model.decoder.{name}={value}" for name, value in TRANSFORMER.items()]


def fit(folder: Path, form: list[str]) -> Path:
    """Trains with averaged weights, for six updates."""
    write_questions(folder)
    options = [*question_options(folder), *form, "--data.batch_tokens=512", "--model.unanswerable=true"]
    options += ["--data.max_source_length=40", "--data.max_question_length=12", "--data.overlap=8"]
    options += ["--trainer.max_steps=6", "--trainer.val_check_interval=3", "--model.schedule.warmup_steps=1"]
    options += ["--fit.ema_decay=0.5", "--model.generation.beam_size=1", "--model.generation.n_best=1"]
    options += ["--trainer.accelerator=cpu", "--trainer.devices=1", f"--trainer.default_root_dir={folder}", "--run=a"]
    run("qa", "fit", options, load)
    return folder / "qa" / "a" / "best.ckpt"


@pytest.fixture(scope="module", params=["span", "generate"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    return fit(folder, SPAN if request.param == "span" else WRITE)


def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> str:
    monkeypatch.setattr(sys, "argv", ["qa", *map(str, arguments)])
    capsys.readouterr()
    main("qa", load)
    return capsys.readouterr().out


def test_a_checkpoint_is_scored_and_keeps_its_threshold(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(capsys, monkeypatch, "test", "--ckpt_path", trained)
    report: dict[str, Any] = json.loads(trained.with_suffix(".test.json").read_text())
    assert report["examples"] == 12
    assert {"exact", "f1", "HasAns_f1", "NoAns_exact", "loss"} <= report["scores"].keys()
    stored = read_checkpoint(trained)["state_dict"]["null_threshold"]
    assert report["scores"]["null_threshold"] == pytest.approx(float(stored))
    assert float(stored) != 0, "it was chosen"
    module = QaModule.load(trained)
    assert torch.equal(module.null_threshold, stored)
    rows = [json.loads(line) for line in trained.with_suffix(".test.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == list(range(12))
    assert sum(row["references"] == [""] for row in rows) == 3
    assert "wrong, of 12" in trained.with_suffix(".test.txt").read_text()


def test_the_threshold_is_that_of_the_weights_beside_it(
    trained: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call(capsys, monkeypatch, "validate", "--ckpt_path", trained)
    chosen = json.loads(trained.with_suffix(".validate.json").read_text())["scores"]["null_threshold"]
    assert chosen == pytest.approx(float(read_checkpoint(trained)["state_dict"]["null_threshold"]), abs=1e-3)


def test_a_text_file_is_asked_and_the_answer_shown_in_its_sentence(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "story.txt").write_text(STORY * 3)
    questions = json.dumps(["Where is Anna?", "Who has the lamp?"])
    asked = ("predict", "--ckpt_path", trained, "--context", tmp_path / "story.txt", "--question", questions)
    text = call(capsys, monkeypatch, *asked)
    assert text.count("Q: ") == text.count("A: ") == 2
    call(
        capsys,
        monkeypatch,
        *asked,
        "--output",
        tmp_path / "out.jsonl",
        "--model.generation",
        '{"n_best": 2, "beam_size": 2}',
    )
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["question"] for row in rows] == json.loads(questions)
    for row in rows:
        for answer in row["answers"]:
            assert 0 <= answer["probability"] <= 1
            if isinstance(QaModule.load(trained).model, SpanModel):
                assert (STORY * 3)[answer["start"] : answer["end"]] == answer["text"]
                assert f"[[{' '.join(answer['text'].split())}]]" in answer["sentence"]


def test_json_lines_are_asked(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"id": "x7", "context": STORY, "question": "Where is Anna?"}
    (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n")
    out = call(
        capsys, monkeypatch, "predict", "--ckpt_path", trained, "--input", tmp_path / "in.jsonl", "--format", "jsonl"
    )
    assert json.loads(out)["id"] == "x7"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "predict needs --context FILE"),
        (["--context", "none.txt", "--question", '["a?"]'], "none.txt: can't be read"),
        (["--context", "x", "--input", "y"], "leave --context and --question out"),
    ],
)
def test_what_can_t_be_asked_is_told_in_a_line(
    trained: Path,
    options: list[str],
    complaint: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["qa", "predict", "--ckpt_path", str(trained), *options])
    with pytest.raises(SystemExit):
        main("qa", load)
    shown = capsys.readouterr().err.strip().splitlines()[-1]
    assert shown.startswith("error: ")
    assert complaint in shown


def test_forms_that_contradict_their_options() -> None:
    with pytest.raises(ConfigError, match="must be span or generate"):
        check_form("point", None, False, 30)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="tie_embeddings"):
        check_form("span", None, True, 30)
    with pytest.raises(ConfigError, match="CrossEntropy doesn't train answer: span"):
        check_form("span", CrossEntropy(), False, 30)
    with pytest.raises(ConfigError, match="max_answer_length"):
        check_form("span", None, False, 0)


def test_an_answer_is_marked_in_all_of_its_sentences() -> None:
    start = STORY.index("garden")
    assert in_its_sentence(Answer("garden", 0.0, start, start + 6), STORY) == "Anna went to the [[garden]]."
    start = STORY.index("lamp.")
    assert in_its_sentence(Answer("lamp.\nAnna", 0.0, start, start + 10), STORY) == (
        "Boris took the [[lamp. Anna]] moved to the cellar."
    )
    assert in_its_sentence(Answer("two", 0.0), STORY) == ""

"""The command line of summarization on a checkpoint of its own."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from core.runner import run
from tasks.summarization.__main__ import load
from tasks.summarization.module import SUMMARIES, SummarizationModule
from tasks.summarization.predict import escape, unescape
from tests.core.shell import Shell, make_shell
from tests.tasks.summarization.tiny import tiny_options, write_dialogues

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
DOCUMENT = "Ben: hello.\nAnna: I like tea.\nBen: goodbye.\n"


@pytest.fixture(scope="session")
def best(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dialogues")
    write_dialogues(folder)
    run("summarization", "fit", [*tiny_options(folder), f"--trainer.default_root_dir={folder}", "--run=a"], load)
    return folder / "summarization" / "a" / "best.ckpt"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs `python -m tasks.summarization ...` in this process."""
    return make_shell("summarization", load, monkeypatch, capsys)


def test_it_learns_and_is_scored_beside_lead(best: Path, shell: Shell, tmp_path: Path) -> None:
    own = Path(shutil.copy(best, tmp_path / "own.ckpt"))
    shown = shell("test", "--ckpt_path", own)
    assert shown.code == 0, shown.err
    report = json.loads((tmp_path / "own.test.json").read_text())
    scores = report["scores"]
    assert scores["rougeL"] > 90, "the second reference is the one that it learnt"
    # LEAD-1 is "NAME: hello.": of the first reference, "Nobody likes anything.", and of the second it has no word.
    assert scores["lead1_rouge1"] == 0
    assert scores["words"] == pytest.approx(3)
    assert "references:highest F" in report["signatures"]["rougeL"]
    assert report["generation"]["no_repeat_ngram"] == SUMMARIES.no_repeat_ngram == 3
    text = (tmp_path / "own.test.txt").read_text()
    assert text.startswith("0 of 12 documents have more than the 150 tokens that were read")
    assert "LEAD-1" in text
    assert "Worst by rouge2" in text


def test_what_is_not_read_of_the_documents_is_counted(best: Path, shell: Shell, tmp_path: Path) -> None:
    own = Path(shutil.copy(best, tmp_path / "own.ckpt"))
    shown = shell("validate", "--ckpt_path", own, "--data.max_source_length=4", "--model.lead=2")
    assert shown.code == 0, shown.err
    text = (tmp_path / "own.validate.txt").read_text()
    assert text.startswith("12 of 12 documents have more than the 4 tokens that were read")
    assert "LEAD-2" in text
    assert "lead2_rougeL" in shown.out


def test_a_checkpoint_summarizes_without_its_corpus(best: Path) -> None:
    module = SummarizationModule.load(best)
    assert module.generation.beam_size == 4
    assert module.beginnings.count == 1


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory of documents, one of which isn't UTF-8."""
    documents = tmp_path / "documents"
    (documents / "more").mkdir(parents=True)
    (documents / "one.txt").write_text(DOCUMENT)
    (documents / "more" / "two.txt").write_text("Dora: hello.\nCarl: I like rain.\nDora: goodbye.\n")
    (documents / "empty.txt").write_text("")
    (documents / "broken.txt").write_bytes(b"Ben: \xff\n")
    return documents


def test_a_document_a_file(best: Path, shell: Shell, folder: Path, tmp_path: Path) -> None:
    shown = shell("predict", "--ckpt_path", best, "--input", folder, "--output", tmp_path / "out")
    assert shown.code == 0, shown.err
    assert "broken.txt: line 1: not UTF-8: byte 0xff" in shown.err
    assert "predict: 3 documents, 1 problems" in shown.err
    written = {str(p.relative_to(tmp_path / "out")): p.read_text() for p in (tmp_path / "out").rglob("*.txt")}
    assert written == {
        "one.txt.hyp.txt": "Anna likes tea .\n",
        "more/two.txt.hyp.txt": "Carl likes rain .\n",
        "empty.txt.hyp.txt": "\n",
        "broken.txt.hyp.txt": "\n",
    }


def test_one_file_may_be_one_document(best: Path, shell: Shell, folder: Path) -> None:
    options = ["--ckpt_path", best, "--input", folder / "one.txt"]
    whole = shell("predict", *options, "--documents=files", "--format=jsonl")
    row = json.loads(whole.out)
    assert row["source"] == DOCUMENT.rstrip("\n")
    assert row["hypotheses"][0]["text"] == "Anna likes tea ."
    assert len(shell("predict", *options).out.splitlines()) == 3, "a line is a document otherwise"


def test_a_document_a_line(best: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "Ben: hello.\\nAnna: I like tea.\\nBen: goodbye.\n\nDora: hello. Carl: I like rain. Dora: goodbye.\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    shown = shell("predict", "--ckpt_path", best)
    assert shown.out == "Anna likes tea .\n\nCarl likes rain .\n"


def test_a_long_document_is_told(best: Path, shell: Shell, folder: Path) -> None:
    options = ["--documents=files", "--data.max_source_length=4"]
    shown = shell("predict", "--ckpt_path", best, "--input", folder / "one.txt", *options)
    assert "one.txt: 14 tokens, only the first 4 were read" in shown.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--documents=files", "--text=[a]"], "--documents files and --text exclude each other"),
        (["--documents=files", "--attention=pictures"], "--attention draws lines"),
    ],
)
def test_options_that_exclude_each_other(best: Path, shell: Shell, options: list[str], message: str) -> None:
    shown = shell("predict", "--ckpt_path", best, *options)
    assert shown.code == 2
    assert message in shown.err


def test_documents_that_cannot_be_read_are_an_error(best: Path, shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "broken.txt"
    path.write_bytes(b"\xff")
    shown = shell("predict", "--ckpt_path", best, "--input", path, "--documents=files")
    assert shown.code == 1
    assert "none of 1 documents could be read" in shown.err


@pytest.mark.parametrize("text", ["", "two\nlines", r"C:\new \\ \n", "back\\\nslash", "\\"])
def test_an_escaped_document_is_one_line_and_comes_back(text: str) -> None:
    assert "\n" not in escape(text)
    assert unescape(escape(text)) == text
    assert unescape(r"\a \d+") == r"\a \d+"

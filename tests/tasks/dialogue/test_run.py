"""From `fit` to `chat` on a tiny corpus, through the command line's own functions."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from core.errors import CheckpointError, ConfigError
from core.runner import run
from tasks.dialogue.__main__ import load
from tasks.dialogue.chat import main as chat
from tests.tasks.dialogue.tiny import tiny_options, write_dialogues

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dialogue")


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Path:
    write_dialogues(folder)
    run("dialogue", "fit", [*tiny_options(folder), f"--trainer.default_root_dir={folder}", "--run=tiny"], load)
    return folder / "dialogue" / "tiny" / "best.ckpt"


def talk(checkpoint: Path, lines: Sequence[str], monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(line + "\n" for line in lines)))
    chat(["--ckpt_path", str(checkpoint), *options])


def test_test_gives_all_scores_and_the_baselines(checkpoint: Path) -> None:
    run("dialogue", "test", ["--ckpt_path", str(checkpoint)], load)
    report = json.loads(checkpoint.with_suffix(".test.json").read_text())
    scores = report["scores"]
    names = {"loss", "perplexity", "word_perplexity", "bleu", "f1", "distinct_1", "distinct_2"}
    names |= {"reply_length", "reference_length", "top_reply", "exact_match", "dialogue_exact_match"}
    assert names <= scores.keys()
    assert scores["word_perplexity"] < 2  # all but the city and the number is always the same
    assert 0 <= scores["dialogue_exact_match"] <= scores["exact_match"] <= 100
    text = checkpoint.with_suffix(".test.txt").read_text()
    assert "most frequent reply" in text
    assert "nearest history" in text


def test_word_perplexity_follows_from_the_loss_where_tokens_are_words(checkpoint: Path) -> None:
    run("dialogue", "validate", ["--ckpt_path", str(checkpoint)], load)
    scores = json.loads(checkpoint.with_suffix(".validate.json").read_text())["scores"]
    assert scores["word_perplexity"] == pytest.approx(scores["perplexity"], rel=1e-6)  # one token a word, one an end
    assert "nearest history" in checkpoint.with_suffix(".validate.txt").read_text(), "of the split that was scored"


def test_predict_reads_turns_between_tabs(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "in.tsv").write_text(
        "a table in rome\na table in rome\tin rome , for how many ?\t4 please\n\n", encoding="utf-8"
    )
    options = [f"--input={tmp_path / 'in.tsv'}", f"--output={tmp_path / 'out.txt'}"]
    run("dialogue", "predict", ["--ckpt_path", str(checkpoint), *options], load)
    first, second, third = (tmp_path / "out.txt").read_text().splitlines()
    assert first.endswith(", for how many ?")  # which kind of turn comes next is learnt in seconds
    assert second[1:5] == " in "
    assert third == ""


def test_a_conversation_through_a_pipe(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["a table in paris", "3 please", "/history", "/undo", "/history", "/reset", "/history", "/quit", "unread"]
    talk(checkpoint, lines, monkeypatch, "--persona", "i book tables")
    first, second, third, *rest = capsys.readouterr().out.splitlines()[1:]
    assert first == "settings: beam_size=2 max_length=12 no_repeat_ngram=4"
    assert second.startswith("system: in ")
    assert second.endswith(", for how many ?")
    assert " in " in third
    said = ["knowledge: i book tables", "user: a table in paris", second]
    whole = [*said, "user: 3 please", third]
    assert rest == [*whole, "taken back: 3 please", *said, "forgotten", "knowledge: i book tables"]


def test_settings_are_shown_and_changed(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        "/settings", "/set temperature 0.8", "/set sample=true beam_size=1 temperature=0.8", "/settings",
        "/set temprature 1", "/set top_k many", "/set", "/sett", "/undo", "/persona", "/persona i cook", "/help", "",
    ]  # fmt: skip
    talk(checkpoint, lines, monkeypatch)
    out = capsys.readouterr().out
    for expected in (
        "* beam_size = 2",
        "  temperature = 1.0",
        "not changed: generation.temperature is 0.8, but generation.sample is false",
        "settings: max_length=12 sample=true temperature=0.8 no_repeat_ngram=4",
        "* temperature = 0.8",
        "history: the last 0 of 0 turns and 0 of 0 lines of persona fit into 128 tokens",
        "not changed: there is no setting temprature; did you mean temperature?",
        "top_k",
        "not changed: write /set NAME VALUE",
        "there is no /sett; did you mean /set",
        "there is nothing to take back",
        "no persona; /persona TEXT adds a line",
        "i cook",
        "/settings                how replies are written",
    ):
        assert expected in out


def test_draws_follow_from_the_seed(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("--set", "sample=true", "beam_size=1", "temperature=50.0", "no_repeat_ngram=0")
    lines = ["a table in rome", "/undo", "a table in rome", "/undo", "/set seed 2", "a table in rome"]
    talk(checkpoint, lines, monkeypatch, *settings)
    first, again, other = [line for line in capsys.readouterr().out.splitlines() if line.startswith("system: ")]
    assert first == again
    assert first != other


def test_the_systems_own_ngrams_are_not_said_again(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = ["a table in rome", "a table in rome"]
    replies = {}
    for size in (0, 2):
        talk(checkpoint, lines, monkeypatch, "--set", f"history_ngram={size}")
        said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("system: ")]
        replies[size] = [line.removeprefix("system: ").split() for line in said]
    first, second = replies[2]
    assert first == replies[0][0]
    assert not set(pairwise(first)) & set(pairwise(second))


def test_wrong_options_are_refused(checkpoint: Path, folder: Path) -> None:
    with pytest.raises(ConfigError, match="ckpt_path"):
        chat([])
    with pytest.raises(CheckpointError, match="there is no file"):
        chat(["--ckpt_path", str(folder / "none.ckpt")])
    with pytest.raises(ConfigError, match="no setting beam"):
        chat(["--ckpt_path", str(checkpoint), "--set", "beam=3"])
    options = ["--ckpt_path", str(checkpoint), "--data.tokenizer.joint=false", "--model.repetition.history_ngram=-1"]
    with pytest.raises(ConfigError, match="history_ngram"):
        run("dialogue", "test", options, load)

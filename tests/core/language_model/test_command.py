from __future__ import annotations

import json
import sys
from math import log10
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoint import card
from core.errors import ConfigError
from core.language_model.__main__ import main
from core.language_model.arpa import read_arpa
from core.language_model.texts import cut, training_targets
from core.language_model.words import Spelling
from core.tokenization import TokenizerOptions, TrainedTokenizer, save_tokenizer, train_tokenizer

TEXTS = ["ab a", "ba", "a b a b"]
TOKENIZER = train_tokenizer(TEXTS, TokenizerOptions(kind="characters"))


def write_checkpoint(folder: Path, tokenizer: TrainedTokenizer = TOKENIZER) -> Path:
    """A checkpoint without weights, of a run on {train,val}.{en,de} of its folder."""
    for language, texts in (("en", ["x", "y", "z"]), ("de", TEXTS)):
        (folder / f"train.{language}").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    corpus = {"folder": str(folder), "source": "en", "target": "de"}
    config = {"data": {"corpus": {"class_path": "core.data.text.AlignedText", "init_args": corpus}}, "model": {}}
    about = card("mt", 9, config, {"target": tokenizer.state()})
    torch.save({"polyseq": about, "state_dict": {}}, folder / "best.ckpt")
    return folder / "best.ckpt"


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["language_model", *map(str, arguments)])
    main()


def test_a_model_is_made_of_the_checkpoints_own_targets_or_of_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    checkpoint, spelling = write_checkpoint(tmp_path), Spelling(TOKENIZER)
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n\n" for text in TEXTS))  # empty lines are no texts
    own, given = tmp_path / "own.arpa", tmp_path / "given.arpa.gz"
    call(monkeypatch, "train", "--ckpt_path", checkpoint, "--order", "3", "--output", own)
    assert "3 texts, 13 tokens, 0 of them unknown; n-grams by length: 6 " in capsys.readouterr().out
    texts = tmp_path / "texts.txt"
    call(monkeypatch, "train", "--ckpt_path", checkpoint, "--order=3", "--input", texts, "--output", given)
    model = read_arpa(own, spelling)
    assert model == read_arpa(given, spelling)
    assert model.order == 3
    capsys.readouterr()
    call(monkeypatch, "perplexity", "--ckpt_path", checkpoint, "--model", own, "--input", texts)
    total = sum(sum(model.log_probs(TOKENIZER.encode(text), spelling.eos)) for text in TEXTS)
    assert capsys.readouterr().out == (
        f"3 texts, 16 tokens with their ends: log10 {total:.2f}, perplexity a token {10 ** (-total / 16):.3f}\n"
    )
    assert log10(5) * 16 > -total  # better than guessing among five types


def test_a_tokenizers_file_will_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    save_tokenizer(TOKENIZER, tmp_path / "tokenizer.json")
    (tmp_path / "texts.txt").write_text("a bé\n")
    call(monkeypatch, "words", "--ckpt_path", tmp_path / "tokenizer.json", "--input", tmp_path / "texts.txt")
    assert capsys.readouterr().out == "a ▁ b <unk>\n"


def test_words_that_are_no_types_are_unknown() -> None:
    options = TokenizerOptions(kind="words", own_words=True)
    tokenizer = train_tokenizer(["one two", "one two"], options)
    one, two = tokenizer.encode("one two")
    assert list(cut(["one three two", ""], tokenizer)) == [[one, tokenizer.specials.unk, two]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "--output", "lm.arpa", "--input", "none.txt"), "none.txt: there is no such file"),
        (("train", "--output", "lm.arpa", "--order", "20"), "order must be at least 1 and at most 12, got 20"),
        (("perplexity", "--model", "none.arpa"), "none.arpa: there is no such file"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoint = write_checkpoint(tmp_path)
    with pytest.raises(SystemExit, match=f"^error: .*{message}"):
        call(monkeypatch, *arguments, "--ckpt_path", checkpoint)
    assert not (tmp_path / "lm.arpa").exists()


def test_corpora_of_sounds_and_images_have_targets(tmp_path: Path) -> None:
    rows = [{"audio": f"{text}.wav", "text": text} for text in ("one", "two")]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    speech = {"class_path": "core.data.speech_manifests.JsonlSpeech", "init_args": {"train": f"{tmp_path}/train.jsonl"}}
    assert list(training_targets({"data": {"corpus": speech}})) == ["one", "two"]
    scenes = {"class_path": "tasks.captioning.builtin.BuiltInScenes", "init_args": {"train_size": 3}}
    captions = list(training_targets({"data": {"corpus": scenes}}))
    assert len(captions) >= 3
    assert all(isinstance(caption, str) for caption in captions)


def test_a_corpus_without_plain_targets_is_told() -> None:
    other = {"class_path": "collections.Counter", "init_args": {}}
    configs: list[dict[str, Any]] = [{"data": {"corpus": other}}, {"data": {}}]
    for config in configs:
        with pytest.raises(ConfigError, match="--input: this checkpoint's corpus has no plain targets"):
            list(training_targets(config))

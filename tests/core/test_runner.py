"""The command line on a checkpoint of its own: what wins, what is refused, and in what words."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from core.checkpoint import KEY, read_checkpoint
from core.checkpoint import main as checkpoint_main
from core.language_model.__main__ import parser, train
from core.runner import run
from tasks.mt.__main__ import load
from tasks.mt.module import MtModule
from tests.core.shell import Shell, make_shell, one_error
from tests.core.tiny import corpus_options, tiny_options, write_corpus

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@dataclass(frozen=True)
class Trained:
    """Two checkpoints of one run, and the corpus that they were trained on."""

    corpus: Path
    best: Path
    last: Path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    write_corpus(folder)
    options = ["--trainer.max_steps=120", "--trainer.val_check_interval=100", "--model.generation.beam_size=3"]
    options += ["--model.optimizer.lr=0.02", "--model.schedule.kind=constant"]
    run("mt", "fit", [*tiny_options(folder), *options, "--trainer.default_root_dir", str(folder), "--run=a"], load)
    return Trained(folder, folder / "mt" / "a" / "best.ckpt", folder / "mt" / "a" / "last.ckpt")


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs `python -m tasks.mt ...` in this process."""
    return make_shell("mt", load, monkeypatch, capsys)


@pytest.fixture
def own(trained: Trained, tmp_path: Path) -> Path:
    """A copy of the best checkpoint, to leave reports beside."""
    return Path(shutil.copy(trained.best, tmp_path / "own.ckpt"))


def report(checkpoint: Path, verb: str = "test") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(checkpoint.with_suffix(f".{verb}.json").read_text())
    return found


def with_card(checkpoint: Path, **changes: Any) -> None:
    content = torch.load(checkpoint, weights_only=True)
    content[KEY] |= changes
    torch.save(content, checkpoint)


# What wins


def test_an_encoder_is_swapped_by_its_bare_name(trained: Trained, shell: Shell) -> None:
    options = ["--model.encoder", "RecurrentEncoder", "--model.encoder.cell", "lstm", "--model.tie_embeddings", "false"]
    options += ["--data.tokenizer.kind", "words", "--trainer.accelerator", "cpu", "--trainer.fast_dev_run", "1"]
    shown = shell("fit", *corpus_options(trained.corpus), *options)
    assert shown.code == 0, shown.err


def test_an_objective_s_option_that_is_out_of_range_is_one_line(trained: Trained, shell: Shell) -> None:
    options = ["--model.objective", "CrossEntropy", "--model.objective.label_smoothing", "2"]
    shown = shell("fit", *corpus_options(trained.corpus), *options)
    assert shown.code == 2
    assert shown.err.splitlines()[-1] == "error: objective.label_smoothing must be at least 0 and below 1, got 2.0"
    assert "Traceback" not in shown.err


def test_a_falling_rate_ends_with_the_run(trained: Trained) -> None:
    schedule = read_checkpoint(trained.best)[KEY]["config"]["model"]["schedule"]
    assert schedule["total_steps"] == 120  # trainer.max_steps


@pytest.mark.parametrize(("given", "expected"), [([], 3), (["--model.generation.beam_size", "4"], 4)])
def test_the_command_line_wins_over_the_checkpoint_and_it_over_the_default(
    shell: Shell, own: Path, given: list[str], expected: int
) -> None:
    assert shell("test", "--ckpt_path", own, *given).code == 0
    assert report(own)["generation"]["beam_size"] == expected
    assert report(own)["examples"] == 21


def test_another_optimizer_starts_from_its_own_defaults(shell: Shell, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    options = [*tiny_options(tmp_path), "--model.optimizer", "torch.optim.SGD", "--trainer.max_steps=1"]
    assert shell("fit", *options, "--trainer.default_root_dir", tmp_path, "--run=sgd").code == 0
    checkpoint = read_checkpoint(tmp_path / "mt" / "sgd" / "last.ckpt")
    (group,) = checkpoint["optimizer_states"][0]["param_groups"]
    assert group["weight_decay"] == 0
    assert group["initial_lr"] == 0.001, "torch's own, not AdamW's 0.003 of default.yaml"
    assert not group["fused"]


def test_training_may_begin_with_another_run_s_weights(trained: Trained, shell: Shell, tmp_path: Path) -> None:
    options = [*tiny_options(trained.corpus), "--trainer.max_steps=1", "--model.optimizer.lr=0.0"]
    options += ["--trainer.default_root_dir", str(tmp_path), "--run=again"]
    other = shutil.copy(trained.best, tmp_path / "other.ckpt")
    assert shell("fit", *options, "--fit.weights", other, "--data.tokenizer.lowercase", "true").code == 0
    (tmp_path / "other.ckpt").unlink()  # nothing of it is needed any more
    last = read_checkpoint(tmp_path / "mt" / "again" / "last.ckpt")
    assert last["global_step"] == 1
    before = read_checkpoint(trained.best)
    assert last[KEY]["tokenizers"] == before[KEY]["tokenizers"]
    assert all(torch.equal(weight, before["state_dict"][name]) for name, weight in last["state_dict"].items())
    assert shell("test", "--ckpt_path", tmp_path / "mt" / "again" / "last.ckpt").code == 0


# What is refused


def test_a_checkpoint_is_plain_data(trained: Trained) -> None:
    for path in (trained.best, trained.last):
        about = torch.load(path, weights_only=True)[KEY]
        assert about["task"] == "mt"
        assert about["config"]["model"]["encoder"]["init_args"]["d_model"] == 16


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip_a_bit_of_a_weight(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    content = bytearray(path.read_bytes())
    content[largest.header_offset + largest.file_size // 2 + 200] ^= 1
    path.write_bytes(content)


def lose_its_weights(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    del content["state_dict"]
    torch.save(content, path)


class Bomb:
    """Pickled, it is a call of `os.mkdir`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def hide_a_bomb(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    torch.save(content | {"bomb": Bomb(path.with_name("exploded"))}, path)


def overwrite_with_text(path: Path) -> None:
    path.write_text("dear diary\n")


def belong_to_another_task(path: Path) -> None:
    with_card(path, task="asr")


def belong_to_the_future(path: Path) -> None:
    with_card(path, format=99)


def come_from_elsewhere(path: Path) -> None:
    torch.save({"state_dict": {}}, path)


@pytest.mark.parametrize("verb", ["test", "predict", "fit"])
@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (truncate, "own.ckpt is truncated or not a checkpoint"),
        (flip_a_bit_of_a_weight, "own.ckpt is damaged: the checksum of "),
        (lose_its_weights, "own.ckpt is not a whole checkpoint: it lacks state_dict"),
        (hide_a_bomb, "own.ckpt isn't read: it holds more than plain data"),
        (overwrite_with_text, "own.ckpt is truncated or not a checkpoint"),
        (belong_to_another_task, "own.ckpt belongs to the task asr, not to mt"),
        (belong_to_the_future, "own.ckpt has format 99 (written by polyseq "),
        (come_from_elsewhere, "own.ckpt is not a checkpoint of polyseq"),
    ],
)
def test_what_is_no_checkpoint_of_this_task_is_refused(
    shell: Shell, own: Path, verb: str, damage: Callable[[Path], None], complaint: str
) -> None:
    damage(own)
    shown = shell(verb, "--ckpt_path", own)
    assert complaint in one_error(shown)
    assert shown.code == 1
    assert not own.with_name("exploded").exists()


@pytest.mark.parametrize("option", ["--fit.weights", "--ensemble", "--data.tokenizers"])
def test_a_bomb_explodes_by_no_other_way_either(trained: Trained, shell: Shell, own: Path, option: str) -> None:
    hide_a_bomb(own)
    if option == "--ensemble":
        shown = shell("test", "--ckpt_path", trained.best, option, f"[{own}]")
    else:
        options = [*tiny_options(trained.corpus), f"--trainer.default_root_dir={own.parent}", "--trainer.max_steps=1"]
        shown = shell("fit", *options, option, own)
    assert shown.code == 1, shown
    assert f"{own} isn't read: it holds more than plain data" in shown.err
    assert not own.with_name("exploded").exists()


def test_the_bomb_is_one(own: Path) -> None:
    hide_a_bomb(own)
    torch.load(own, weights_only=False)
    assert own.with_name("exploded").exists()


@pytest.fixture(scope="session")
def other_tokenizers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokenizers of characters."""
    from core.data.vocabularies import cached_vocabularies
    from core.tokenization import TokenizerOptions

    folder = tmp_path_factory.mktemp("tokenizers")
    characters = TokenizerOptions("characters", min_frequency=1)
    cached_vocabularies(["one two"], ["eins zwei"], characters, folder).save(folder)
    return folder


@pytest.mark.parametrize("verb", ["test", "predict", "fit"])
def test_a_vocabulary_that_doesn_t_belong_to_the_checkpoint_is_refused(
    shell: Shell, own: Path, other_tokenizers: Path, verb: str
) -> None:
    line = one_error(shell(verb, "--ckpt_path", own, "--data.tokenizers", other_tokenizers, "--text", '["one"]'))
    assert "the source vocabulary" in line
    assert "leave data.tokenizers out" in line


@pytest.mark.parametrize("verb", ["test", "predict", "fit"])
def test_weights_that_don_t_fit_are_refused(shell: Shell, own: Path, verb: str) -> None:
    line = one_error(shell(verb, "--ckpt_path", own, "--model.encoder.num_layers", "2", "--text", '["one"]'))
    assert "the checkpoint's weights don't fit" in line


# Several checkpoints


def test_an_ensemble_of_two(shell: Shell, trained: Trained, own: Path) -> None:
    assert shell("test", "--ckpt_path", own, "--ensemble", f"[{trained.last}]").code == 0
    assert report(own)["ensemble"] == [str(trained.last)]
    alone = shell("predict", "--ckpt_path", own, "--text", '["one two"]', "--format", "jsonl")
    twice = shell("predict", "--ckpt_path", own, "--text", '["one two"]', "--format", "jsonl", "--ensemble", f"[{own}]")
    both = shell(
        "predict", "--ckpt_path", own, "--text", '["one two"]', "--format", "jsonl", "--ensemble", f"[{trained.last}]"
    )
    scores = [json.loads(shown.out)["hypotheses"][0]["log_prob"] for shown in (alone, twice, both)]
    assert scores[1] == pytest.approx(scores[0], rel=1e-5), "a model agrees with itself"
    assert scores[2] != pytest.approx(scores[0], rel=1e-3)


def test_an_ensemble_of_two_vocabularies_is_refused(
    shell: Shell, own: Path, other_tokenizers: Path, tmp_path: Path
) -> None:
    from core.data.vocabularies import read_vocabularies

    foreign = tmp_path / "foreign.ckpt"
    write_corpus(tmp_path)
    options = [*tiny_options(tmp_path), "--trainer.max_steps=1", "--data.tokenizers", str(other_tokenizers)]
    assert shell("fit", *options, "--trainer.default_root_dir", tmp_path, "--run=b").code == 0
    shutil.copy(tmp_path / "mt" / "b" / "last.ckpt", foreign)
    assert len(read_vocabularies(foreign).target) != len(read_vocabularies(own).target)
    line = one_error(shell("test", "--ckpt_path", own, "--ensemble", f"[{foreign}]"))
    assert "foreign.ckpt has another target vocabulary" in line


def test_a_language_model_judges_translations_too(shell: Shell, own: Path, tmp_path: Path) -> None:
    (tmp_path / "said.txt").write_text("eins zwei\nzwei eins\neins eins zwei zwei\n")
    made = tmp_path / "lm.arpa"
    options = ["--input", str(tmp_path / "said.txt"), "--order", "3", "--output", str(made)]
    train(parser().parse_args(["train", "--ckpt_path", str(own), *options]))
    text = ("predict", "--ckpt_path", own, "--text", '["one two three four"]')
    judged = shell(*text, "--model.language_model.path", made, "--model.language_model.weight=100")
    assert judged.code == 0, judged.err
    assert set(judged.out.split()) <= {"eins", "zwei"}
    assert not set(shell(*text).out.split()) <= {"eins", "zwei"}


def test_an_average_is_a_checkpoint(shell: Shell, trained: Trained, tmp_path: Path) -> None:
    output = tmp_path / "mean.ckpt"
    checkpoint_main(["average", str(trained.best), str(trained.last), "--output", str(output)])
    weights = [read_checkpoint(path)["state_dict"] for path in (trained.best, trained.last, output)]
    for name, mean in weights[2].items():
        torch.testing.assert_close(mean, (weights[0][name] + weights[1][name]) / 2)
    assert shell("test", "--ckpt_path", output).code == 0
    assert report(output)["examples"] == 21


def test_a_loaded_module_translates_as_the_command_does(shell: Shell, trained: Trained) -> None:
    from core.batch import Seq2SeqBatch, TextBatch

    lines = ["one two three", "nine", "four four seven two"]
    shown = shell("predict", "--ckpt_path", trained.best, "--text", json.dumps(lines))
    assert shown.code == 0, shown.err
    module = MtModule.load(trained.best)
    assert not module.training
    tokenizer = module.vocabularies.source
    assert tokenizer is not None
    for line, text in zip(lines, shown.out.splitlines(), strict=True):
        row = torch.tensor([[*tokenizer.encode(line), tokenizer.specials.eos]])
        batch = Seq2SeqBatch(TextBatch(row, torch.tensor([row.size(1)])), None, (0,))
        assert module.generate_texts(batch)[0][0][0] == text
    assert any(shown.out.split())


# Bad input


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"eins\nzwei\n", "train.en: has 300 lines, but "),
        (None, "train.de: there is no such file"),
        (b"", "train.de: the file is empty"),
        (b"eins\nzw\xffei\n", "train.de:2: not UTF-8: byte 0xff"),
    ],
    ids=["unequal", "missing", "empty", "encoding"],
)
def test_bad_files_get_one_line(shell: Shell, tmp_path: Path, content: bytes | None, complaint: str) -> None:
    write_corpus(tmp_path)
    if content is None:
        (tmp_path / "train.de").unlink()
    else:
        (tmp_path / "train.de").write_bytes(content)
    shown = shell("fit", *corpus_options(tmp_path), "--trainer.default_root_dir", tmp_path)
    assert complaint in one_error(shown)
    assert shown.code == 1

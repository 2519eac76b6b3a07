from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from core.checkpoint import read_checkpoint
from core.encoders.transformer import TransformerEncoder
from core.environment import source_state
from core.explain import is_out_of_memory
from tasks.mt.__main__ import load
from tests.core.shell import Shell, make_shell
from tests.core.tiny import ROOT, tiny_options, write_corpus

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return make_shell("mt", load, monkeypatch, capsys)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explain")
    write_corpus(folder)
    return folder


def options(folder: Path, name: str, steps: int) -> list[str]:
    given = [f"--trainer.max_steps={steps}", f"--trainer.default_root_dir={folder}", f"--run={name}"]
    return [*tiny_options(folder), "--trainer.val_check_interval=100", *given]


# Memory


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (MemoryError(), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_of_memory_are_known(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_the_processor_s_own_error_of_memory_is_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize(("verb", "option"), [("fit", "batch_tokens"), ("test", "eval_batch_tokens")])
def test_too_little_memory_names_the_batch_and_the_option(
    shell: Shell, folder: Path, monkeypatch: pytest.MonkeyPatch, verb: str, option: str
) -> None:
    checkpoint = folder / "mt" / "fine" / "last.ckpt"
    if not checkpoint.exists():
        assert shell("fit", *options(folder, "fine", 1)).code == 0
    monkeypatch.setattr(TransformerEncoder, "forward", lambda *_: torch.empty(2**60))
    given = ["--ckpt_path", str(checkpoint)] if verb == "test" else options(folder, "large", 1)
    shown = shell(verb, *given, f"--data.{option}=96")
    assert shown.code == 1
    line = next(line for line in shown.err.splitlines() if line.startswith("error:"))
    assert "error: out of memory on a batch of " in line
    assert ", source (" in line
    assert ", target (" in line
    assert f"lower data.{option}, which is 96" in line
    assert "can't allocate memory: you tried to allocate" in line


# Reproducibility


def test_the_same_seed_gives_the_same_weights_and_the_environment_is_kept(shell: Shell, folder: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        dropout = ["--model.encoder.dropout=0.3", f"--seed_everything={seed}"]
        assert shell("fit", *options(folder, name, 5), *dropout).code == 0
    one, two, other = (read_checkpoint(folder / "mt" / name / "last.ckpt") for name in ("one", "two", "other"))
    assert all(torch.equal(weight, two["state_dict"][key]) for key, weight in one["state_dict"].items())
    assert not all(torch.equal(weight, other["state_dict"][key]) for key, weight in one["state_dict"].items())
    about = json.loads((folder / "mt" / "one" / "environment.json").read_text())
    assert about["seed"] == 3
    assert about["ranks"] == 1
    assert about["packages"]["torch"] == torch.__version__.partition("+")[0] or "+" in about["packages"]["torch"]
    assert about["command"].startswith("python -m tasks.mt fit --data.corpus=core.data.text.AlignedText ")
    assert about["command"].endswith("--run=one --model.encoder.dropout=0.3 --seed_everything=3")
    assert about["host"]


def test_the_source_s_state_is_that_of_its_own_repository(tmp_path: Path) -> None:
    assert source_state(tmp_path) is None
    state = source_state(ROOT)
    assert state is None or len(state["commit"]) == 40
    inner = ROOT / "core"
    assert source_state(inner) is None, "what merely lies in a repository isn't its source"


# What a run that goes on can't change


def test_another_learning_rate_for_a_run_that_goes_on_is_refused(shell: Shell, folder: Path) -> None:
    assert shell("fit", *options(folder, "rate", 2)).code == 0
    shown = shell("fit", *options(folder, "rate", 4), "--ckpt_path=last", "--model.optimizer.lr=0.5")
    assert shown.code == 1
    assert "model.optimizer.init_args.lr is 0.5, the checkpoint has 0.003: a run that goes on keeps" in shown.err
    assert "--fit.weights" in shown.err
    other = shell("fit", *options(folder, "rate", 4), "--ckpt_path=last", "--model.optimizer=torch.optim.SGD")
    assert "model.optimizer.class_path is torch.optim.SGD, the checkpoint has torch.optim.AdamW" in other.err


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--data.batch_tokens=64", "batches of an epoch on all ranks: 14 then, 28 now"),
        ("--data.seed=7", "data.seed: 1 then, 7 now"),
    ],
)
def test_other_batches_in_mid_epoch_are_refused_with_what_has_changed(
    shell: Shell, folder: Path, option: str, told: str
) -> None:
    name = option.rpartition(".")[2]
    assert shell("fit", *options(folder, name, 3)).code == 0
    shown = shell("fit", *options(folder, name, 6), "--ckpt_path=last", option)
    assert shown.code == 1
    assert f"something has changed: {told}. Change it back" in shown.err
    assert read_checkpoint(folder / "mt" / name / "last.ckpt")["global_step"] == 3


def test_other_data_in_mid_epoch_are_refused(shell: Shell, tmp_path: Path) -> None:
    write_corpus(tmp_path)
    assert shell("fit", *options(tmp_path, "a", 3)).code == 0
    for language in ("en", "de"):
        path = tmp_path / f"train.{language}"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-7]))
    shown = shell("fit", *options(tmp_path, "a", 6), "--ckpt_path=last")
    assert shown.code == 1
    assert "something has changed: training examples: 300 then, 293 now; their tokens: " in shown.err

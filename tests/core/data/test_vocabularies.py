from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from core.checkpoint import card
from core.data import vocabularies
from core.data.corpus import TextPair, numbered
from core.data.vocabularies import Vocabularies, cached_vocabularies, default_cache, read_vocabularies
from core.errors import CheckpointError
from core.tokenization import TokenizerOptions, save_tokenizer

PAIRS = numbered(["a cat", "a dog"] * 3, ["eine Katze", "ein Hund"] * 3)
JOINT = TokenizerOptions(kind="words")
APART = TokenizerOptions(kind="words", joint=False)


def texts(pairs: Sequence[TextPair]) -> tuple[list[str], list[str]]:
    return [pair.source for pair in pairs], [target for pair in pairs for target in pair.targets]


def test_a_joint_vocabulary_is_one_object(tmp_path: Path) -> None:
    joint = cached_vocabularies(*texts(PAIRS), JOINT, tmp_path)
    assert joint.source is joint.target
    assert {" cat", " Katze"} <= set(joint.target.pieces)


def test_separate_vocabularies_know_their_side_only(tmp_path: Path) -> None:
    apart = cached_vocabularies(*texts(PAIRS), APART, tmp_path)
    assert apart.source is not None
    assert set(apart.source.pieces) == {" a", " cat", " dog"}
    assert set(apart.target.pieces) == {" eine", " ein", " Katze", " Hund"}


@pytest.mark.parametrize("options", [JOINT, APART])
def test_the_cache_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: TokenizerOptions) -> None:
    first = cached_vocabularies(*texts(PAIRS), options, tmp_path)
    monkeypatch.setattr(vocabularies, "train_tokenizer", None)  # training would fail
    again = cached_vocabularies(*texts(PAIRS), options, tmp_path)
    assert again.state() == first.state()
    assert (again.source is again.target) == options.joint


def test_other_texts_or_options_are_other_entries(tmp_path: Path) -> None:
    base = cached_vocabularies(*texts(PAIRS), JOINT, tmp_path).state()
    assert cached_vocabularies(*texts(PAIRS[:3]), JOINT, tmp_path).state() != base
    lower = TokenizerOptions(kind="words", lowercase=True)
    assert cached_vocabularies(*texts(PAIRS), lower, tmp_path).state() != base


def test_a_run_that_was_killed_while_writing_leaves_no_half_entry(tmp_path: Path) -> None:
    cached_vocabularies(*texts(PAIRS), APART, tmp_path)
    (entry,) = (tmp_path / "tokenizers").iterdir()
    (entry / "target.json").unlink()  # killed between the two files
    again = cached_vocabularies(*texts(PAIRS), APART, tmp_path)
    assert " Katze" in again.target.pieces


def _fingerprint(cache: Path) -> str:
    return cached_vocabularies(*texts(PAIRS), JOINT, cache).target.fingerprint


def test_processes_at_the_same_time_get_the_same(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert len(set(pool.map(_fingerprint, [tmp_path] * 2, chunksize=1))) == 1


@pytest.mark.parametrize("options", [JOINT, APART])
def test_a_checkpoint_gives_them_back(tmp_path: Path, options: TokenizerOptions) -> None:
    trained = cached_vocabularies(*texts(PAIRS), options, tmp_path)
    about = card("mt", len(trained.target), {}, trained.state())
    torch.save({"polyseq": about, "state_dict": {}}, tmp_path / "best.ckpt")
    again = read_vocabularies(tmp_path / "best.ckpt")
    assert again.state() == trained.state()
    assert (again.source is again.target) == options.joint


def test_a_file_serves_both_sides(tmp_path: Path) -> None:
    trained = cached_vocabularies(*texts(PAIRS), JOINT, tmp_path)
    save_tokenizer(trained.target, tmp_path / "mine.json")
    both = read_vocabularies(tmp_path / "mine.json")
    assert both.source is both.target


def test_a_folder_serves_one_each(tmp_path: Path) -> None:
    trained = cached_vocabularies(*texts(PAIRS), APART, tmp_path)
    trained.save(tmp_path / "mine")
    assert read_vocabularies(tmp_path / "mine").state() == trained.state()


def test_what_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no"):
        read_vocabularies(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match="no such file"):
        read_vocabularies(tmp_path)
    (tmp_path / "cut.ckpt").write_bytes(b"PK half a file")
    with pytest.raises(CheckpointError):
        read_vocabularies(tmp_path / "cut.ckpt")


def test_a_joint_vocabulary_is_stored_once(tmp_path: Path) -> None:
    state = cached_vocabularies(*texts(PAIRS), JOINT, tmp_path).state()
    assert state["source"] is state["target"]
    assert Vocabularies.from_state(state).state() == state


def test_the_cache_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLYSEQ_CACHE", str(tmp_path))
    assert default_cache() == tmp_path
    monkeypatch.delenv("POLYSEQ_CACHE")
    assert default_cache() == Path.home() / ".cache" / "polyseq"


def test_a_source_without_text_has_no_tokenizer(tmp_path: Path) -> None:
    trained = cached_vocabularies(None, ["ein Hund", "eine Katze"], JOINT, tmp_path)
    assert trained.source is None
    again = Vocabularies.from_state(trained.state())
    assert again.source is None
    assert again.target.fingerprint == trained.target.fingerprint
    assert cached_vocabularies(None, ["ein Hund", "eine Katze"], JOINT, tmp_path).state() == trained.state()

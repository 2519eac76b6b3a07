from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from core.data.corpus import Split
from core.errors import ConfigError, DataError
from tasks.summarization.builtin import SPLITS, BuiltInCorpus, Lengths, folded, runs, without_leaks
from tasks.summarization.docstrings import Document, Module, find_modules, read_documents

WORDS = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon"


def document(number: int, module: str = "a/b.py", summary: str = "") -> Document:
    """A document of 30 words that no other number has."""
    body = " ".join(f"{word}{number}" for word in (WORDS + " phi chi psi omega one two three four five six").split())
    return Document(module, body, summary or f"Does the thing number {number} well.")


MODULES = cache(find_modules)


@cache
def standard_library() -> list[Document]:
    """The documents of a part of the environment."""
    modules = [module for module in MODULES() if module.name.startswith(("python/asyncio/", "python/email/"))]
    return [document for module in modules for document in read_documents(module)]


def test_a_module_is_in_one_split_and_the_splits_have_their_sizes() -> None:
    documents = [document(number, f"package/m{number // 5}.py") for number in range(1000)]
    pairs, counts = BuiltInCorpus(val=0.1, test=0.2).make(documents)
    assert {split: len(rows) for split, rows in pairs.items()} == {"train": 700, "val": 100, "test": 200}
    assert counts["docstrings"] == 1000
    places = {each.body: each.module for each in documents}
    modules = {split: {places[source] for source, _ in rows} for split, rows in pairs.items()}
    assert not modules["train"] & modules["val"] | modules["train"] & modules["test"] | modules["val"] & modules["test"]


@pytest.mark.parametrize(
    ("body", "summary", "reason"),
    [
        ("", "Does a thing without more.", "of one paragraph"),
        ("ten words " * 5, "Does a thing in few words.", "too short or too long"),
        ("ten words " * 101, "Does a thing in many words.", "too short or too long"),
        ("ten words " * 15, "Too short.", "summary too short or too long"),
        ("ten words " * 15, "does what, does_it(x) -> y", "summary no sentence"),
    ],
)
def test_what_is_left_out(body: str, summary: str, reason: str) -> None:
    pairs, counts = BuiltInCorpus().make([Document("a/b.py", body.strip(), summary)])
    assert counts[reason] == 1
    assert not any(pairs.values())


def test_an_equal_text_comes_once_whatever_its_case_and_its_lines() -> None:
    first = document(1)
    second = Document("c/d.py", first.body.upper().replace(" ", "\n", 3) + ".", "Does another thing, says the copy.")
    pairs, counts = BuiltInCorpus().make([first, second])
    assert sum(map(len, pairs.values())) == 1
    assert counts["text seen before"] == 1


def test_a_summary_or_a_text_of_another_split_is_a_leak() -> None:
    train = [document(1, summary="Returns the size of it.")]
    copy = Document("x/y.py", f"{train[0].body} seven", "Has a word more at its end.")  # 25 of its 26 runs are known
    same = document(2, summary="returns the size of it")
    # 7 of these 24 words are training's: 2 runs of 6 are known, of 19 in all
    near = Document("x/y.py", " ".join([*train[0].body.split()[:7], *document(3).body.split()[7:24]]), "Is its own.")
    assert len(runs(near)) == 19
    assert without_leaks([copy, same, near, document(4)], train) == [near, document(4)]


def test_nothing_of_the_standard_library_leaks() -> None:
    pairs, _ = BuiltInCorpus(val=0.2, test=0.2).make(standard_library())
    assert all(len(rows) >= 10 for rows in pairs.values())
    check(pairs)


def check(pairs: dict[Split, list[tuple[str, str]]]) -> None:
    bodies = [folded(source) for split in SPLITS for source, _ in pairs[split]]
    assert len(bodies) == len(set(bodies))
    summaries = {split: {folded(target) for _, target in pairs[split]} for split in SPLITS}
    assert not summaries["train"] & summaries["val"]
    assert not summaries["train"] & summaries["test"]
    assert not summaries["val"] & summaries["test"]
    known = {run for source, _ in pairs["train"] for run in runs(Document("", source, ""))}
    for split in SPLITS[1:]:
        for source, _ in pairs[split]:
            own = runs(Document("", source, ""))
            assert len(own & known) <= 0.3 * len(own)


SCRIPT = """
import json
from tasks.summarization.builtin import BuiltInCorpus
from tests.tasks.summarization.test_builtin import standard_library
print(json.dumps(BuiltInCorpus(val=0.2, test=0.2).make(standard_library())))
"""


def test_the_same_in_another_process() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.getcwd()}
    printed = subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, env=environment).stdout
    assert json.loads(printed) == json.loads(json.dumps(BuiltInCorpus(val=0.2, test=0.2).make(standard_library())))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[Module]:
    """An environment of one package."""
    modules = [module for module in MODULES() if module.name.startswith("python/asyncio/")]
    monkeypatch.setattr("tasks.summarization.builtin.find_modules", lambda: modules)
    return modules


def test_it_is_made_once_and_says_what_it_is_made_of(
    small: list[Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = BuiltInCorpus(val=0.2, test=0.2, cache_dir=tmp_path)
    pairs = first.read("train")
    assert [pair.id for pair in pairs] == list(range(len(pairs)))
    assert f"{len(small):,} Python files" in capsys.readouterr().err
    monkeypatch.setattr("tasks.summarization.builtin.read_documents", lambda module: pytest.fail("read again"))
    again = BuiltInCorpus(val=0.2, test=0.2, cache_dir=tmp_path)
    assert again.read("train") == pairs
    assert again.stored == first.stored
    assert "docstrings" in again.stored.told()
    assert again.stored.about["torch"]


def test_another_file_is_another_corpus(small: list[Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def print_of() -> str:
        return BuiltInCorpus(cache_dir=tmp_path).stored.about["fingerprint"]

    before = print_of()
    monkeypatch.setattr("tasks.summarization.builtin.find_modules", lambda: small[1:])
    assert print_of() != before
    assert len(list((tmp_path / "docstrings").iterdir())) == 2


def test_what_a_killed_process_left_is_made_anew(small: list[Module], tmp_path: Path) -> None:
    BuiltInCorpus(cache_dir=tmp_path).read("train")
    (path,) = tmp_path.rglob("corpus.json")
    whole = path.read_text()
    path.with_suffix(".part").write_text(whole[:100])
    path.unlink()
    assert BuiltInCorpus(cache_dir=tmp_path).read("train")
    assert path.read_text() == whole


def test_python_without_its_sources_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tasks.summarization.builtin.find_modules", list)
    with pytest.raises(DataError, match="no train split"):
        BuiltInCorpus(cache_dir=tmp_path).read("train")


def test_options_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"shares with a sum below 1, got 0\.5, 0\.5"):
        BuiltInCorpus(val=0.5, test=0.5)
    with pytest.raises(ConfigError, match="least_target <= most_target, got 9 and 8"):
        Lengths(least_target=9, most_target=8)


@pytest.mark.slow
def test_nothing_of_the_whole_corpus_leaks(tmp_path: Path) -> None:
    stored = BuiltInCorpus(cache_dir=tmp_path).stored
    assert len(stored.pairs["train"]) > 3000
    check(stored.pairs)

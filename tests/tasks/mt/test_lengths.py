from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import sacrebleu
from matplotlib import image

from core.errors import ConfigError, DataError
from core.metrics.base import Scored
from tasks.mt.lengths import main, read_examples

SHORT = [Scored(n, "ein kleiner Hund schläft dort", ("ein kleiner Hund schläft hier",), "a b c") for n in (0, 1)]
LONG = [Scored(2, "die Frau liest ein altes Buch", ("die Frau liest ein altes Buch",), "a b c d e f g")]


def as_tested(path: Path, examples: list[Scored]) -> Path:
    """As `test` writes it."""
    path.write_text("".join(json.dumps(asdict(example)) + "\n" for example in examples), encoding="utf-8")
    return path


def as_predicted(path: Path, examples: list[Scored]) -> Path:
    """As `predict --format jsonl` writes it."""
    rows = [{"id": e.id, "source": e.source, "hypotheses": [{"text": e.hypothesis, "score": -1}]} for e in examples]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_table_and_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    worse = [Scored(e.id, "ein Hund schläft dort", e.references, e.source) for e in [*SHORT, *LONG]]
    first, second = as_tested(tmp_path / "a.jsonl", [*SHORT, *LONG]), as_tested(tmp_path / "b.jsonl", worse)
    picture, table = tmp_path / "new" / "p.png", tmp_path / "other" / "t.csv"
    options = ["--edges", "4", "--output", str(picture), "--csv", str(table)]
    main([f"ours={first}", f"theirs={second}", *options])
    references = [example.references[0] for example in SHORT]
    expected = sacrebleu.corpus_bleu([example.hypothesis for example in SHORT], [references]).score
    others = sacrebleu.corpus_bleu(["ein Hund schläft dort"] * 2, [references]).score
    lone = sacrebleu.corpus_bleu(["ein Hund schläft dort"], [[LONG[0].references[0]]]).score
    rows = [["words", "sentences", "ours", "theirs"], ["0-4", "2", f"{expected:.2f}", f"{others:.2f}"]]
    rows.append(["5+", "1", "100.00", f"{lone:.2f}"])
    assert [line.split() for line in capsys.readouterr().out.splitlines()[:3]] == rows
    assert [line.split(",") for line in table.read_text().splitlines()] == rows
    assert image.imread(picture).size > 0


def test_predictions_and_references_by_line(tmp_path: Path) -> None:
    references = [example.references[0] for example in [*SHORT, *LONG]]
    path = as_predicted(tmp_path / "a.jsonl", [*SHORT, *LONG])
    assert read_examples(path, references) == [*SHORT, *LONG]
    with pytest.raises(DataError, match=r"a\.jsonl:1: has no reference: give --references"):
        read_examples(path)
    with pytest.raises(DataError, match=r"has 3 translations, but there are 4 references"):
        read_examples(path, [*references, "one more"])


def test_an_empty_line_was_translated_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 0, "source": "", "hypotheses": []}\n')
    assert read_examples(tmp_path / "a.jsonl", ["x"]) == [Scored(0, "", ("x",), "")]


@pytest.mark.parametrize(
    "line", ["no json", "[1]", "3", '{"id": 0, "source": "a"}', '{"hypothesis": "a", "source": ""}']
)
def test_lines_of_another_kind_are_named(tmp_path: Path, line: str) -> None:
    path = as_tested(tmp_path / "a.jsonl", SHORT)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(DataError, match=r"a\.jsonl:3: not a line that"):
        read_examples(path)


def test_systems_must_have_read_the_same(tmp_path: Path) -> None:
    first, second = as_tested(tmp_path / "a.jsonl", SHORT), as_tested(tmp_path / "b.jsonl", LONG)
    with pytest.raises(DataError, match="a and b didn't translate the same sources"):
        main([f"a={first}", f"b={second}", "--output", str(tmp_path / "p.png")])
    assert not (tmp_path / "p.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "NAME=FILE"),
        (["file.jsonl"], "'file.jsonl' must be NAME=FILE"),
        (["a=x.jsonl", "a=y.jsonl"], "two systems are called a"),
        (["a=x.jsonl", "--edges", "ten"], "invalid int value: 'ten'"),
    ],
)
def test_wrong_options_are_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        main(arguments)

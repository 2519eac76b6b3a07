from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.metrics.translation import ExactMatch
from core.scores import leave_scores, print_scores, shown_scores


def test_a_score_is_shown_with_its_interval() -> None:
    scores = {"loss": 1.5, "bleu": 39.9, "bleu_mean": 39.8, "bleu_ci": 1.6, "bleu_lc": 40.0}
    assert shown_scores(scores) == [("loss", "1.5000"), ("bleu", "39.9000 ± 1.6000"), ("bleu_lc", "40.0000")]


def test_a_table_has_the_signatures(capsys: pytest.CaptureFixture[str]) -> None:
    print_scores("mt: test", {"bleu": 39.9}, {"bleu": "case:mixed"})
    shown = capsys.readouterr().out
    assert "mt: test" in shown
    assert [word for word in shown.split() if word in ("bleu", "39.9000", "case:mixed")] == [
        "bleu",
        "39.9000",
        "case:mixed",
    ]


def test_what_was_scored_is_left_beside_the_scores(tmp_path: Path) -> None:
    metric = ExactMatch()
    metric.update([1, 0], ["nein", "já"], [("ja",), ("já",)], ["no", "yes"])
    scores = {name: float(value) for name, value in metric.compute().items()}
    leave_scores(tmp_path / "best.test.json", scores, metric, {"seconds": 1.5})
    report = json.loads((tmp_path / "best.test.json").read_text("utf-8"))
    assert (report["scores"], report["examples"], report["seconds"]) == ({"exact_match": 50.0}, 2, 1.5)
    rows = [json.loads(line) for line in (tmp_path / "best.test.jsonl").read_text("utf-8").splitlines()]
    assert rows[0] == {"id": 0, "hypothesis": "já", "references": ["já"], "source": "yes"}
    assert [row["id"] for row in rows] == [0, 1]

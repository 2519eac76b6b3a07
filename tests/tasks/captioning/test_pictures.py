from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from core.images.read import ImageRef
from core.metrics.base import Scored
from core.plots import looks_figure
from tasks.captioning.pictures import by_word
from tasks.captioning.report import caption_report, topic_table
from tasks.captioning.sheet import MOST, write_sheet


def test_pieces_of_a_word_share_a_picture() -> None:
    weights = torch.tensor([[1.0, 0.0], [0.2, 0.8], [0.6, 0.4], [0.0, 1.0], [0.5, 0.5]])
    words, rows = by_word([" a", " skate", "boarder", ".", " end"], weights)
    assert words == ["a", "skateboarder.", "end"]
    torch.testing.assert_close(rows, torch.tensor([[1.0, 0.0], [0.8 / 3, 2.2 / 3], [0.5, 0.5]]))
    words, rows = by_word([], weights[:0])
    assert words == []
    assert rows.shape == (0, 2)


def test_a_picture_is_lit_where_the_weights_are() -> None:
    weights = torch.zeros(2, 2, 2)
    weights[0, 0, 1] = weights[1, 1, 0] = 0.7
    figure = looks_figure(torch.ones(3, 16, 16), weights, ["one", "two"], columns=3)
    pictures = [np.asarray(axis.images[0].get_array()) for axis in figure.axes]
    assert [axis.get_title() for axis in figure.axes] == ["", "one", "two"]
    assert pictures[0].min() == 1
    assert pictures[1][0, 15, 0] == 1 > 0.2 > pictures[1][15, 0, 0]
    assert pictures[2][15, 0, 0] == 1 > 0.2 > pictures[2][0, 15, 0]
    with pytest.raises(ValueError, match="expected \\(1 words"):
        looks_figure(torch.ones(3, 16, 16), weights, ["one"])


def scored(number: int, hypothesis: str = "a dog", reference: str = "a cat") -> Scored:
    return Scored(number, hypothesis, (reference,), f"{number}.png")


def test_the_report_has_the_best_first_and_each_kind_s_mean() -> None:
    examples = [scored(0), scored(1), scored(2)]
    text = caption_report({"this model": {"cider_d": 20.0}, "random": {"cider_d": 2.0}}, examples, [10.0, 40.0, 20.0])
    best = text[text.index("Best") : text.index("Worst")]
    worst = text[text.index("Worst") :]
    assert best.index("1.png") < best.index("2.png") < best.index("0.png")
    assert worst.index("0.png") < worst.index("2.png") < worst.index("1.png")
    lines = topic_table(examples, [10.0, 40.0, 20.0], ["seen", "seen", "unseen"]).splitlines()
    assert [line.split() for line in lines[1:]] == [["seen", "2", "25.0"], ["unseen", "1", "20.0"]]


def test_the_contact_sheet_escapes_and_is_bounded(tmp_path: Path) -> None:
    image = ImageRef(tmp_path / "gone.png")
    examples = [scored(0, "<script>", "a & b"), *(scored(row) for row in range(1, MOST + 50))]
    sentences = [1000.0, *(float(row) for row in range(1, MOST + 50))]
    write_sheet(tmp_path / "sheet.html", examples, sentences, [image] * len(examples), tmp_path / "best.ckpt")
    page = (tmp_path / "sheet.html").read_text()
    assert page.count("<figure>") == MOST
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "a &amp; b" in page
    assert "there is no such file" in page
    assert "CIDEr-D 1000" in page

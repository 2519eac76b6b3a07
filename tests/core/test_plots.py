from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import image

from core.errors import DataError
from core.metrics.lengths import LengthBucket
from core.plots import attention_figure, learning_figure, lengths_figure, read_curve, save

SOURCE = [" the", " train", " lea", "ves", ".", " end"]
TARGET = [" der", " Zug", " fährt", " end"]


def weights(layers: int) -> torch.Tensor:
    return torch.softmax(torch.randn(layers, len(TARGET), len(SOURCE)), dim=-1)


def same(drawn: Any, expected: Any) -> bool:
    first, second = np.asarray(drawn, dtype=float), np.asarray(expected, dtype=float)
    return first.shape == second.shape and np.allclose(first, second, atol=1e-6)


def test_attention_shows_the_average_of_the_layers() -> None:
    of_layers = weights(3)
    axis = attention_figure(of_layers, SOURCE, TARGET).axes[0]
    assert same(axis.images[0].get_array(), (of_layers[0] + of_layers[1] + of_layers[2]) / 3)
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["the", "train", "lea", "·ves", ".", "end"]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["der", "Zug", "fährt", "end"]


def test_attention_layer_by_layer() -> None:
    of_layers = weights(3)
    axes = attention_figure(of_layers, SOURCE, TARGET, layers=True).axes[:3]
    for axis, expected in zip(axes, of_layers, strict=True):
        assert same(axis.images[0].get_array(), expected)
    assert [axis.get_xlabel() for axis in axes] == [f"layer {number} of 3" for number in (1, 2, 3)]


def test_weights_and_tokens_must_fit() -> None:
    with pytest.raises(ValueError, match=r"weights are \(1, 5, 4\), expected \(layers, 4 target tokens, 6 source"):
        attention_figure(torch.zeros(1, 5, 4), SOURCE, TARGET)


@pytest.mark.parametrize("token", ["$", "$x$", "ß", " ", "", "\\", "_", "^", "{"])
def test_any_token_can_be_drawn(tmp_path: Path, token: str) -> None:
    save(attention_figure(torch.ones(1, 1, 1), [token], [token]), tmp_path / "deep" / "a.png")
    assert image.imread(tmp_path / "deep" / "a.png").size > 0


def test_lengths_have_a_curve_for_each_system() -> None:
    short, long = LengthBucket(1, 5, 10, 3.5, 40.0), LengthBucket(6, None, 4, 9.25, 30.0)
    axis = lengths_figure({"with": [short, long], "without": [short]}, "title").axes[0]
    assert [line.get_label() for line in axis.lines] == ["with", "without"]
    assert same(axis.lines[0].get_xydata(), [[3.5, 40.0], [9.25, 30.0]])
    assert axis.lines[0].get_marker() != axis.lines[1].get_marker()
    assert axis.get_ylim()[0] == 0


def log(path: Path, rows: str) -> Path:
    path.write_text(rows, encoding="utf-8")
    return path


def test_learning_curves_skip_rows_without_the_number(tmp_path: Path) -> None:
    # As CSVLogger writes them: training and validation in rows of their own.
    metrics = log(tmp_path / "metrics.csv", "step,train/loss,val/bleu\n50,3.5,\n100,,12.5\n150,3.0,\n200,,25\n")
    assert read_curve(metrics, "val/bleu") == [(100, 12.5), (200, 25)]
    axis = learning_figure({"run": metrics}).axes[0]
    assert same(axis.lines[0].get_xydata(), [[100, 12.5], [200, 25]])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("step,val/loss\n1,2\n", "needs the columns step and val/bleu, has step, val/loss"),
        ("", "needs the columns step and val/bleu, has none"),
        ("step,val/bleu\n1,\n", "has no number in its column val/bleu"),
        ("step,val/bleu\n1,many\n", "val/bleu is no number in every row: 'many'"),
    ],
)
def test_logs_that_can_not_be_drawn(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        learning_figure({"run": log(tmp_path / "metrics.csv", rows)})


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"metrics\.csv: can't be read: No such file"):
        read_curve(tmp_path / "metrics.csv", "val/bleu")

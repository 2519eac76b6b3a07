"""Pictures: where a model looked, BLEU against the length of the source, learning curves. PNG, without a display."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional

from core.errors import DataError
from core.metrics.lengths import LengthBucket

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
CELL = 0.28  # inches for a token in a heat map
DARK = 0.15  # how bright an image is where nobody looks
MARKERS = "osD^vPX*"  # so that curves differ without colours too


def save(figure: Figure, path: Path) -> None:
    """Writes a figure as PNG, or as what the name's end says (.pdf, .svg)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, bbox_inches="tight")


def attention_figure(weights: Tensor, source: Sequence[str], target: Sequence[str], layers: bool = False) -> Figure:
    """Draws a heat map of attention: source tokens from left to right, target tokens from top to bottom.

    Letters: L layers, T target tokens, S source tokens.

    Args:
        weights: (L, T, S), each row sums to one; heads averaged.
        source: S tokens; those that begin a word begin with a space. The others are drawn with a "·" before them.
        target: T tokens, each written with the weights of its row.
        layers: one map for each layer side by side, not the average of all.

    Raises:
        ValueError: the weights don't have the tokens' numbers.
    """
    if weights.dim() != 3 or weights.shape[1:] != (len(target), len(source)):
        raise ValueError(
            f"weights are {tuple(weights.shape)}, expected (layers, {len(target)} target tokens, {len(source)} source "
            "tokens)"
        )
    maps = weights.float() if layers else weights.float().mean(0, keepdim=True)
    margin = 0.09 * max(map(len, [*source, *target]), default=0) + 0.3
    width, height = CELL * len(source) + margin, CELL * len(target) + margin
    figure = _figure(width * len(maps) + 0.9, height + 0.6)
    axes = figure.subplots(1, len(maps), squeeze=False)[0]
    for number, (axis, each) in enumerate(zip(axes, maps, strict=True), start=1):
        image = axis.imshow(each.numpy(), cmap="Greys", vmin=0, vmax=1, aspect="equal")
        axis.set_xticks(range(len(source)), _labels(source), rotation=90)
        axis.set_yticks(range(len(target)), _labels(target))
        axis.tick_params(length=0, labelsize=9, top=True, labeltop=True, bottom=False, labelbottom=False)
        if layers:
            axis.set_xlabel(f"layer {number} of {len(maps)}")
    figure.colorbar(image, ax=axes, shrink=min(1.0, 2.5 / height), aspect=12, label="attention")
    return figure


def sound_figure(
    features: Tensor,
    seconds: float,
    words: Sequence[tuple[str, float, float]],
    spikes: tuple[Tensor, Tensor],
    attention: Tensor | None,
    tokens: Sequence[str],
) -> Figure:
    """Draws a sound: its features with the words above them, CTC's labels, and where the decoder looked.

    Letters: F frames, M features a frame, S states of the memory, T target tokens.

    Args:
        features: (F, M), log-mel for instance.
        seconds: how long the sound is.
        words: each with the seconds where it starts and ends.
        spikes: the probability of CTC's best label, and of its blank, at each state: (S,) and (S,).
        attention: the decoder's weights (T, S); None for a decoder without attention.
        tokens: T tokens, each written with the weights of its row.
    """
    rows = 2 if attention is None else 3
    heights = [2.2, 1.0, max(0.16 * len(tokens), 1.0)][:rows]
    figure = _figure(max(1.6 * seconds, 6.0), sum(heights) + 1.0)
    axes = figure.subplots(rows, 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    extent = (0.0, seconds, 0.0, float(features.size(1)))
    axes[0].imshow(features.T.numpy(), origin="lower", aspect="auto", cmap="magma", extent=extent)
    axes[0].set_ylabel("mel filter")
    for text, start, end in words:
        axes[0].axvspan(start, end, ymin=0.94, color="white", alpha=0.8)
        axes[0].text((start + end) / 2, features.size(1) * 1.02, text, ha="center", va="bottom", fontsize=8)
    times = [(state + 0.5) * seconds / len(spikes[0]) for state in range(len(spikes[0]))]
    axes[1].plot(times, spikes[1].numpy(), color="0.7", label="blank")
    axes[1].plot(times, spikes[0].numpy(), color="tab:red", label="best label")
    axes[1].set_ylabel("CTC")
    axes[1].legend(loc="upper right", fontsize=7)
    if attention is not None:
        within = (0.0, seconds, float(len(tokens)), 0.0)
        axes[2].imshow(attention.numpy(), aspect="auto", cmap="Greys", vmin=0, extent=within)
        axes[2].set_yticks([row + 0.5 for row in range(len(tokens))], _labels(tokens))
        axes[2].tick_params(axis="y", length=0, labelsize=6)
        axes[2].set_ylabel("attention")
    axes[-1].set_xlabel("seconds")
    return figure


def looks_figure(image: Tensor, weights: Tensor, words: Sequence[str], columns: int = 5) -> Figure:
    """Draws where a model looked in an image word by word: the image, then it once a word, lit where it looked.

    Letters: H height, W width, T words, R rows and C columns of the grid.

    Args:
        image: (3, H, W), red, green and blue in [0, 1].
        weights: (T, R, C), each at or above zero; a word's largest weight is fully lit.
        words: T of them.
        columns: pictures in a row.

    Raises:
        ValueError: the weights don't have the words' number.
    """
    if weights.dim() != 3 or len(weights) != len(words):
        raise ValueError(f"weights are {tuple(weights.shape)}, expected ({len(words)} words, rows, columns)")
    light = functional.interpolate(weights.float().unsqueeze(1), image.shape[1:], mode="bilinear")  # (T, 1, H, W)
    light = light / light.amax((1, 2, 3), keepdim=True).clamp(min=1e-9)
    pictures = [image, *(image * (DARK + (1 - DARK) * each) for each in light)]
    rows = -(-len(pictures) // columns)
    figure = _figure(1.7 * columns, 1.95 * rows)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes:
        axis.set_axis_off()
    for axis, picture, word in zip(axes, pictures, ["", *_labels(words)], strict=False):
        axis.imshow(picture.clamp(0, 1).permute(1, 2, 0).numpy())
        axis.set_title(word, fontsize=10)
    return figure


def lengths_figure(systems: Mapping[str, Sequence[LengthBucket]], title: str = "") -> Figure:
    """Draws BLEU against the length of the source, a curve for each system (as in Bahdanau et al. 2014, figure 2).

    Args:
        systems: the buckets of `bleu_by_length`, by the system's name.
        title: above the picture.
    """
    figure = _figure(7, 4.4)
    axis = figure.subplots()
    for number, (name, buckets) in enumerate(systems.items()):
        lengths, scores = [bucket.mean_length for bucket in buckets], [bucket.bleu for bucket in buckets]
        axis.plot(lengths, scores, marker=MARKERS[number % len(MARKERS)], markersize=5, label=name)
    axis.set(xlabel="source length (words, mean of each group)", ylabel="BLEU", title=title)
    axis.set_ylim(bottom=0)
    _finish(axis)
    return figure


def learning_figure(logs: Mapping[str, Path], name: str = "val/bleu", x: str = "step") -> Figure:
    """Draws a number against the updates, a curve for each run.

    Args:
        logs: the CSV files of Lightning's CSVLogger (metrics.csv), by the run's name.
        name: the column to draw.
        x: the column to draw it against.

    Raises:
        DataError: a log is missing, or has no such column, or no numbers in it.
    """
    figure = _figure(7, 4.4)
    axis = figure.subplots()
    for number, (run, log) in enumerate(logs.items()):
        points = read_curve(log, name, x)
        marker = MARKERS[number % len(MARKERS)] if len(points) <= 40 else ""
        axis.plot(*zip(*points, strict=True), marker=marker, markersize=4, label=run)
    axis.set(xlabel="updates" if x == "step" else x, ylabel=name)
    _finish(axis)
    return figure


def read_curve(log: Path, name: str, x: str = "step") -> list[tuple[float, float]]:
    """Reads the rows of a CSV log that have a number, as (x, number).

    Raises:
        DataError: the log is missing, or has no such column, or no numbers in it.
    """
    try:
        with log.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise DataError(f"can't be read: {error.strerror}", log) from error
    columns = [] if not rows else list(rows[0])
    if name not in columns or x not in columns:
        raise DataError(f"needs the columns {x} and {name}, has {', '.join(columns) or 'none'}", log)
    points = [(_number(row, x, log), _number(row, name, log)) for row in rows if row[name] and row[x]]
    if not points:
        raise DataError(f"has no number in its column {name}", log)
    return points


def _number(row: Mapping[str, str], column: str, log: Path) -> float:
    try:
        return float(row[column])
    except ValueError:
        raise DataError(f"{column} is no number in every row: {row[column]!r}", log) from None


def _labels(tokens: Sequence[str]) -> list[str]:
    """Tokens as matplotlib shall print them: parts of words marked, a lone space seen, "$" not read as mathematics."""
    marked = any(token.startswith(" ") for token in tokens)

    def label(token: str) -> str:
        text = (token[1:] or "␣") if token.startswith(" ") else token
        continued = marked and token[:1].isalnum()
        return ("·" if continued else "") + text.replace("$", r"\$")

    return [label(token) for token in tokens]


def _figure(width: float, height: float) -> Figure:
    """A figure of its own, not pyplot's: nothing global, no display, nothing to close."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _finish(axis: Axes) -> None:
    axis.grid(alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9)

"""The picture of a prediction: frames of the video over time, below them curves of the best classes, bars by stream."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pytsn.predict.result import Prediction, best_classes, percent
from pytsn.runtime.picture_file import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# All lengths below are pixels of the PNG
_DOTS_PER_INCH = 100
_WIDTH, _EDGE = 1240, 24
_PLOT_LEFT, _PLOT_WIDTH, _PLOT_HEIGHT = 84, 880, 250
_LEGEND_LEFT = _PLOT_LEFT + _PLOT_WIDTH + 28
_HEADER, _THUMB_GAP, _TALLEST, _LEADER = 88, 8, 150, 16
_NAMES, _ROW, _BAR_GAP, _BAR_TEXT = 232, 26, 30, 62
_SMALL, _LONGEST_NAME = 9.5, 28
#: Okabe and Ito's colours, which colour-blind readers can tell apart: one per class drawn
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")


@dataclass(frozen=True)
class _Content:
    """The data to draw. classes: labels, best first; positions (T,): of the snippets, in ``unit``."""

    prediction: Prediction
    names: Sequence[str]
    classes: Sequence[int]
    fused: np.ndarray
    snippets: np.ndarray
    positions: np.ndarray
    end: float
    unit: str

    def position(self, image: int) -> float:
        """The position of image number ``image`` (from 1) on the time axis."""
        fps = self.prediction.fps
        return image / fps if fps else float(image)


def save_picture(path: str | os.PathLike, prediction: Prediction, labels: Sequence[str], subtitle: str = "") -> None:
    """Draws the prediction to a PNG, PDF or SVG file, by its ending. ``subtitle``: how the prediction was made."""
    save_figure(path, picture_figure(prediction, labels, subtitle), _DOTS_PER_INCH)


def picture_figure(prediction: Prediction, labels: Sequence[str], subtitle: str = "") -> "Figure":
    """The matplotlib figure: axes of the curves, of each frame, and of the bars for the fused scores and, if there are
    several streams, for each stream."""
    content = _content(prediction, labels)
    thumb_height = _thumb_size(prediction)[1]
    curves_top = _HEADER + thumb_height + _LEADER
    bars_top = curves_top + _PLOT_HEIGHT + 100
    board = _Board(bars_top + _ROW * len(content.classes) + 52)
    best = content.classes[0]
    board.text(_EDGE, 16, _shortened(prediction.source.title, 80), 15, weight="bold")
    verdict = f"{_shortened(labels[best], 48)}, {percent(content.fused[best])}"
    board.text(_EDGE, 45, verdict, 12, color=_COLOURS[0], weight="bold")
    board.text(_WIDTH - _EDGE, 48, subtitle, _SMALL, color="0.35", ha="right")
    axes = board.axes(_PLOT_LEFT, curves_top, _PLOT_WIDTH, _PLOT_HEIGHT)
    _draw_curves(axes, content)
    _draw_thumbnails(board, content, curves_top)
    _draw_legend(board, content, curves_top)
    _draw_bars(board, content, bars_top)
    return board.figure


def _content(prediction: Prediction, labels: Sequence[str]) -> _Content:
    fused, snippets = prediction.probabilities(), prediction.snippet_probabilities()
    ticks = np.array(next(iter(prediction.ticks.values())), float)[: len(snippets)]
    fps, unit = (prediction.fps, "seconds") if prediction.fps else (1.0, "image number")
    classes = best_classes(fused, min(len(_COLOURS), len(fused)))
    return _Content(prediction, labels, classes, fused, snippets, ticks / fps, prediction.images / fps, unit)


class _Board:
    """A figure with coordinates in pixels from its top left corner."""

    def __init__(self, height: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.height = height
        self.figure = Figure(figsize=(_WIDTH / _DOTS_PER_INCH, height / _DOTS_PER_INCH), dpi=_DOTS_PER_INCH)
        FigureCanvasAgg(self.figure)  # renders to memory: needs no display and no pyplot state

    def text(self, x: float, y: float, text: str, size: float, **style) -> None:
        """A line of text with its top at y; a $ in a name starts no formula."""
        base = y + 0.93 * size * _DOTS_PER_INCH / 72  # the font's ascent; va="top" depends on the letters in the text
        place = x / _WIDTH, 1 - base / self.height
        self.figure.text(*place, text, fontsize=size, va="baseline", parse_math=False, **style)

    def axes(self, x: float, y: float, width: float, height: float) -> "Axes":
        """Axes that fill the rectangle."""
        box = (x / _WIDTH, 1 - (y + height) / self.height, width / _WIDTH, height / self.height)
        return self.figure.add_axes(box)

    def line(self, x: Sequence[float], y: Sequence[float], **style) -> None:
        from matplotlib.lines import Line2D

        places = [value / _WIDTH for value in x], [1 - value / self.height for value in y]
        self.figure.add_artist(Line2D(*places, transform=self.figure.transFigure, **style))


def _thumb_size(prediction: Prediction) -> tuple[float, int]:
    """Width of a frame's cell and height of the row of frames."""
    pitch = _PLOT_WIDTH / max(1, len(prediction.thumbnails))
    ratios = [frame.shape[0] / frame.shape[1] for _, frame in prediction.thumbnails]
    return pitch, round(min(_TALLEST, (pitch - _THUMB_GAP) * max(ratios, default=0)))


def _draw_thumbnails(board: _Board, content: _Content, bottom: int) -> None:
    """Draws the frames in a row above the curves, each with a line to its time."""
    pitch, row = _thumb_size(content.prediction)
    for place, (image, frame) in enumerate(content.prediction.thumbnails):
        height = min(row, (pitch - _THUMB_GAP) * frame.shape[0] / frame.shape[1])
        width = height * frame.shape[1] / frame.shape[0]
        middle = _PLOT_LEFT + (place + 0.5) * pitch
        axes = board.axes(middle - width / 2, bottom - _LEADER - height, width, height)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color="0.6", linewidth=0.6)
        axes.imshow(frame[..., ::-1], aspect="auto")
        time = _PLOT_LEFT + content.position(image) / content.end * _PLOT_WIDTH
        board.line((middle, time), (bottom - _LEADER, bottom), color="0.6", linewidth=0.8)


def _draw_curves(axes: "Axes", content: _Content) -> None:
    for rank, label in reversed(list(enumerate(content.classes))):  # the best one on top
        style: dict[str, Any] = {
            "linewidth": 2.2 if rank == 0 else 1.4,
            "markersize": 4 if len(content.positions) <= 60 else 0,
        }
        axes.plot(content.positions, 100 * content.snippets[:, label], marker="o", color=_COLOURS[rank], **style)
    highest = 100 * content.snippets[:, list(content.classes)].max()
    top = next(limit for limit in (25, 50, 75, 100) if highest <= limit + 1e-3)
    axes.set(xlim=(0, content.end), ylim=(-0.02 * top, 1.04 * top), yticks=np.linspace(0, top, 6))
    axes.set_xlabel(content.unit, fontsize=_SMALL, color="0.35")
    axes.set_ylabel("probability of a snippet, %", fontsize=_SMALL, color="0.35")
    axes.grid(color="0.9", linewidth=0.8)
    _plain(axes)


def _draw_legend(board: _Board, content: _Content, top: int) -> None:
    board.text(_LEGEND_LEFT, top, "snippet by snippet", _SMALL, color="0.35")
    for rank, label in enumerate(content.classes):
        y = top + 26 + rank * 24
        board.line((_LEGEND_LEFT, _LEGEND_LEFT + 20), (y + 9, y + 9), color=_COLOURS[rank], linewidth=2.2)
        board.text(_LEGEND_LEFT + 28, y, _shortened(content.names[label], 24), _SMALL + 0.5)


def _draw_bars(board: _Board, content: _Content, top: int) -> None:
    """Draws a row per class, with a column for the fused scores and one for each stream."""
    streams = list(content.prediction.scores)
    columns = [("whole video, fused" if len(streams) > 1 else "whole video", content.fused)]
    if len(streams) > 1:
        columns += [(name, content.prediction.stream_probabilities(name)) for name in streams]
    for rank, label in enumerate(content.classes):
        name = _shortened(content.names[label], _LONGEST_NAME)
        board.text(_EDGE + _NAMES - 12, top + rank * _ROW + 5, name, _SMALL + 0.5, ha="right")
    pitch = (_WIDTH - 2 * _EDGE - _NAMES + _BAR_GAP) / len(columns)
    for place, (heading, values) in enumerate(columns):
        x = _EDGE + _NAMES + place * pitch
        board.text(x, top - 26, heading, 11, weight="bold")
        axes = board.axes(x, top, pitch - _BAR_GAP - _BAR_TEXT, _ROW * len(content.classes))
        _draw_bar_column(axes, values[content.classes])
        _draw_own_best(board, content, values, x, top + _ROW * len(content.classes) + 12, pitch)


def _draw_bar_column(axes: "Axes", values: np.ndarray) -> None:
    rows = np.arange(len(values))
    axes.barh(rows, 100 * values, height=0.62, color=_COLOURS[: len(values)])
    for row, value in enumerate(values):
        axes.annotate(percent(value), (100 * value, row), (5, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set(xlim=(0, 100), ylim=(len(values) - 0.5, -0.5), yticks=[], xticks=[])
    _plain(axes)


def _draw_own_best(board: _Board, content: _Content, values: np.ndarray, x: float, y: float, pitch: float) -> None:
    """Writes the stream's own best class where it differs from the fused one."""
    own = best_classes(values, 1)[0]
    if own != content.classes[0]:
        name = _shortened(content.names[own], int(pitch / 7.5) - 12)
        board.text(x, y, f"alone: {name}, {percent(values[own])}", _SMALL, color="0.35")


def _plain(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color="0.6")
    axes.tick_params(labelsize=_SMALL, color="0.6", labelcolor="0.25")


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length // 2 - 1]}...{text[-(length // 2 - 2) :]}"

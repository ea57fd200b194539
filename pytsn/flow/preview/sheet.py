"""The contact sheet of ``pytsn flow-preview``: a row per pair of frames, a column per picture, a legend below."""

import functools
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytsn.flow.preview.colour import flow_to_bgr, wheel_picture
from pytsn.flow.preview.rows import PreviewRow
from pytsn.flow.quantise import FLOW_BOUND
from pytsn.runtime.picture_file import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# All lengths below are pixels of the PNG
_DOTS_PER_INCH = 100
_PICTURE = (340, 256)  # pictures are scaled to fit into this
_NARROWEST = 210  # leaves columns of portrait videos room for their headings
_LABELS, _GAP, _EDGE = 196, 10, 16
_HEADER, _HEADINGS, _LEGEND = 74, 28, 132
_WHEEL = 100
_SMALL, _LINE = 9.5, 17  # size of small text in points, line height in pixels
_MIN_SCALE = 1.0  # does not amplify the noise of a video without motion


@dataclass(frozen=True)
class Sheet:
    """A contact sheet's content. title: the first line, usually the video's name; subtitle: sizes and settings.
    rows: at least one, all of one frame size. bound: pixels at the ends of the x and y images' grey levels."""

    title: str
    subtitle: str
    rows: Sequence[PreviewRow]
    bound: float = FLOW_BOUND

    @functools.cached_property
    def scale(self) -> float:
        """Pixels of motion with fully saturated colours, one value for the sheet: 99 % of all vectors are within."""
        flows = [row.flow for row in self.rows] + [row.warp.flow for row in self.rows if row.warp]
        lengths = np.concatenate([np.hypot(flow[..., 0], flow[..., 1]).ravel() for flow in flows])
        lengths = lengths[np.isfinite(lengths)]
        top = np.percentile(lengths, 99) if lengths.size else 0
        return max(_MIN_SCALE, math.ceil(2 * top) / 2)


@dataclass(frozen=True)
class _Column:
    heading: str
    picture: Callable[[PreviewRow, float], np.ndarray]  # (row, scale) -> uint8 (H, W, 3) BGR or (H, W)
    legend: Callable[["_Board", Sheet, int], None] | None = None  # draws at x


def save_sheet(path: str | os.PathLike, sheet: Sheet) -> None:
    """Draws the sheet to a PNG, PDF or SVG file, by its ending."""
    save_figure(path, sheet_figure(sheet), _DOTS_PER_INCH)


def sheet_figure(sheet: Sheet) -> "Figure":
    """The matplotlib figure: one axes per row and column, then the legends' axes."""
    columns = _columns(sheet)
    board = _Board(sheet.rows[0].flow.shape[:2], len(columns), len(sheet.rows))
    board.text(_EDGE, 14, _shortened(sheet.title, board.width // 13), 15, weight="bold")
    board.text(_EDGE, 44, sheet.subtitle, 10.5, color="0.35")
    for index, column in enumerate(columns):
        board.text(board.left(index), _HEADER + 5, column.heading, 11.5, weight="bold")
        for place, row in enumerate(sheet.rows):
            board.picture(index, place, column.picture(row, sheet.scale))
        if column.legend:
            column.legend(board, sheet, board.left(index))
    for place, row in enumerate(sheet.rows):
        _label(board, board.top(place), row)
    return board.figure


def _columns(sheet: Sheet) -> list[_Column]:
    columns = [
        _Column("flow", lambda row, scale: flow_to_bgr(row.flow, scale), _wheel_legend),
        _Column("x image", lambda row, scale: row.image_x, _grey_legend("left", "right")),
        _Column("y image", lambda row, scale: row.image_y, _grey_legend("up", "down")),
    ]
    if all(row.frame is not None for row in sheet.rows):
        columns.insert(0, _Column("frame", _frame, _frame_legend))
    if all(row.warp is not None for row in sheet.rows):
        columns.append(_Column("warped flow", _warped_flow, _warp_legend))
    return columns


def _frame(row: PreviewRow, scale: float) -> np.ndarray:
    assert row.frame is not None  # else there is no such column
    return row.frame


def _warped_flow(row: PreviewRow, scale: float) -> np.ndarray:
    assert row.warp is not None  # else there is no such column
    return flow_to_bgr(row.warp.flow, scale)


class _Board:
    """A figure addressed in pixels from its top left corner."""

    def __init__(self, frame_shape: tuple[int, int], columns: int, rows: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        height, width = frame_shape
        zoom = min(_PICTURE[0] / width, _PICTURE[1] / height)
        self.size = max(1, round(width * zoom)), max(1, round(height * zoom))
        self.pitch = max(self.size[0], _NARROWEST) + _GAP
        self.width = _EDGE + _LABELS + columns * self.pitch + _EDGE - _GAP
        self.legend_top = self.top(rows) + 8
        self.height = self.legend_top + _LEGEND
        self.figure = Figure(figsize=(self.width / _DOTS_PER_INCH, self.height / _DOTS_PER_INCH), dpi=_DOTS_PER_INCH)
        FigureCanvasAgg(self.figure)  # draws to memory: no display, no pyplot state

    def left(self, column: int) -> int:
        """x of a column of pictures."""
        return _EDGE + _LABELS + column * self.pitch

    def top(self, row: int) -> int:
        """y of a row of pictures."""
        return _HEADER + _HEADINGS + row * (max(self.size[1], 150) + _GAP)  # 150: a row's label has room

    def text(self, x: float, y: float, text: str, size: float, **style) -> None:
        """Draws a line of text with its top left corner at (x, y); a $ in a file's name does not start a formula."""
        base = y + 0.93 * size * _DOTS_PER_INCH / 72  # the font's ascent; va="top" would use the letters' own height
        x, y = x / self.width, 1 - base / self.height
        self.figure.text(x, y, text, fontsize=size, va="baseline", parse_math=False, **style)

    def lines(self, x: float, y: float, lines: Sequence[str], **style) -> None:
        """Draws lines of small text."""
        for place, line in enumerate(lines):
            self.text(x, y + place * _LINE, line, _SMALL, **style)

    def axes(self, x: float, y: float, width: float, height: float) -> "Axes":
        """Axes without ticks that fill the rectangle."""
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box, xticks=[], yticks=[])
        axes.spines[:].set(color="0.6", linewidth=0.6)
        return axes

    def picture(self, column: int, row: int, picture: np.ndarray) -> None:
        """Draws a picture, uint8 (H, W, 3) BGR or (H, W), in its cell."""
        _show(self.axes(self.left(column), self.top(row), *self.size), picture)


def _show(axes: "Axes", picture: np.ndarray) -> None:
    picture = np.repeat(picture[..., None], 3, axis=-1) if picture.ndim == 2 else picture[..., ::-1]
    axes.imshow(picture, aspect="auto")


def _label(board: _Board, y: int, row: PreviewRow) -> None:
    board.text(_EDGE, y, f"{row.number}", 17, weight="bold")
    board.lines(_EDGE, y + 28, [f"frames {row.number} and {row.number + 1}"], color="0.35")
    board.lines(_EDGE, y + 52, ["flow", _lengths(row.flow)])
    if row.warp:
        camera = f"camera from {row.warp.inliers} points"
        found = ["warped", _lengths(row.warp.flow), camera] if row.warp.ok else ["camera not found:", "flow as it was"]
        board.lines(_EDGE, y + 94, found)


def _lengths(flow: np.ndarray) -> str:
    lengths = np.hypot(flow[..., 0], flow[..., 1])
    return f"mean {lengths.mean():.1f}, max {lengths.max():.1f} px"


def _frame_legend(board: _Board, sheet: Sheet, x: int) -> None:
    board.lines(x, board.legend_top + 8, ["the second of the pair,", "numbered as the extracted", "images are"])


def _wheel_legend(board: _Board, sheet: Sheet, x: int) -> None:
    axes = board.axes(x, board.legend_top, _WHEEL, _WHEEL)
    axes.spines[:].set_visible(False)
    _show(axes, wheel_picture(2 * _WHEEL))
    board.lines(x + _WHEEL + 12, board.legend_top + 26, ["white: still", f"rim: {sheet.scale:g} px", "farther: darker"])


def _grey_legend(lowest: str, highest: str) -> Callable[[_Board, Sheet, int], None]:
    def draw(board: _Board, sheet: Sheet, x: int) -> None:
        width, y = board.pitch - _GAP - 20, board.legend_top + 8
        axes = board.axes(x, y, width, 16)
        axes.imshow(np.arange(256)[None], aspect="auto", cmap="gray", vmin=0, vmax=255)
        far = f"{sheet.bound:g} px"
        board.lines(x, y + 22, ["0", far, lowest])
        board.lines(x + width / 2, y + 22, ["128", "still"], ha="center")
        board.lines(x + width, y + 22, ["255", far, highest], ha="right")

    return draw


def _warp_legend(board: _Board, sheet: Sheet, x: int) -> None:
    words = ["colours as in 'flow';", "without the camera's motion,", "found from points in both frames"]
    board.lines(x, board.legend_top + 8, words)


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length // 2 - 2]}...{text[-(length // 2 - 2) :]}"

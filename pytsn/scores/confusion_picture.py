"""Pictures of results: confusion matrices."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from converter.errors import PytsnError
from pytsn.runtime.picture_file import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABELLED = 60  # up to this many classes the axes show class names; above, class numbers
_COUNTED = 30  # up to this many classes the cells show the counts
_DOTS_PER_INCH = 130


def draw_confusion_matrix(path: str | os.PathLike, matrix: np.ndarray, class_names: Sequence[str], title: str) -> None:
    """Draws one confusion matrix to a PNG, PDF or SVG file (by its ending), whole or not at all.

    matrix: integer counts (K, K), [i, j] the videos of class i predicted as class j (metrics.confusion_matrix). The
    colour shows the share of the row, so small classes are as visible as large ones. Raises PytsnError when the matrix
    does not hold (K, K) counts for K names, and when the file cannot be written.
    """
    draw_confusion_matrices(path, [(matrix, title)], class_names)


def draw_confusion_matrices(
    path: str | os.PathLike, panels: Sequence[tuple[np.ndarray, str]], class_names: Sequence[str], heading: str = ""
) -> None:
    """As ``draw_confusion_matrix``, with several (matrix, title) of the same classes side by side under one heading."""
    figure = confusion_figure(panels, class_names, heading)
    write_figure(path, figure, _DOTS_PER_INCH)


def confusion_figure(
    panels: Sequence[tuple[np.ndarray, str]], class_names: Sequence[str], heading: str = ""
) -> "Figure":
    """The matplotlib figure of ``draw_confusion_matrices``: one axes per panel, then the colour bar."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(class_names)
    side = min(max(0.34 * count, 2.5), 11)  # inches of one matrix
    figure = Figure(figsize=(len(panels) * side + 3.2, side + 2.6), layout="constrained")
    FigureCanvasAgg(figure)  # renders to memory: needs no display and no pyplot state
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, (matrix, title) in zip(axes, panels, strict=True):
        image = _draw(axis, _checked(matrix, count, title), title)
        _name_classes(axis, class_names)
    axes[0].set_ylabel("true class", fontsize=13)
    bar = figure.colorbar(image, ax=list(axes), fraction=0.03, pad=0.02, shrink=0.7)
    bar.set_label("share of the true class's videos", fontsize=11)
    if heading:
        figure.suptitle(heading, fontsize=16)
    return figure


def _checked(matrix: np.ndarray, count: int, title: str) -> np.ndarray:
    matrix = np.asarray(matrix)
    if matrix.shape != (count, count) or matrix.dtype.kind not in "iu" or (matrix < 0).any():
        raise PytsnError(f"confusion matrix '{title}': counts ({count}, {count}) expected, found {matrix.shape}")
    return matrix


def _draw(axis: "Axes", matrix: np.ndarray, title: str):
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axis.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axis.set_title(title, fontsize=14)
    axis.set_xlabel("predicted class", fontsize=13)
    if len(matrix) <= _COUNTED:
        for row, column in zip(*np.nonzero(matrix), strict=True):
            ink = "white" if share[row, column] > 0.55 else "black"
            axis.text(column, row, str(matrix[row, column]), ha="center", va="center", color=ink, fontsize=10)
    return image


def _name_classes(axis: "Axes", class_names: Sequence[str]) -> None:
    count = len(class_names)
    if count > _LABELLED:
        return  # matplotlib's own ticks: class numbers
    ticks = np.arange(count)
    axis.set_xticks(ticks, class_names, rotation=90, fontsize=11)
    axis.set_yticks(ticks, class_names, fontsize=11)
    axis.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axis.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axis.grid(which="minor", color="0.88", linewidth=0.6)
    axis.tick_params(which="minor", length=0)

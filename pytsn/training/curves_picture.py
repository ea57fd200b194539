"""The pictures of a training: loss.png and accuracy.png, over the iterations."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pytsn.runtime.picture_file import write_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: points (iteration, value)
Points = Sequence[tuple[int, float]]
_DOTS_PER_INCH = 120
_TRAINING = "#0072B2"
#: of the test nets' curves; with _TRAINING, Okabe and Ito's colours, which colour-blind readers can tell apart
_TESTS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_LONGEST = 85  # letters of a title
_MARKED = 60  # up to this many points have a mark each


def smoothing_window(points: int) -> int:
    """Iterations that the smoothed curve averages over: a thirtieth of all, so that it is as smooth in a long run."""
    return max(1, round(points / 30))


def trailing_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of each value and those before it, ``window`` in all, at the start as many as there are: (N,) float64.
    Unlike a mean around the value it never looks ahead."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    ends = np.arange(1, len(sums))
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def curve_label(name: str) -> str:
    """``train loss`` -> training loss, ``test #0 loss`` -> validation loss; further test nets keep their number."""
    kind, _, rest = name.partition(" ")
    if kind != "test":
        return f"training {rest}"
    number, _, blob = rest.partition(" ")
    return f"validation {blob}" if number == "#0" else f"validation {blob}, test net {number}"


def draw_curves(folder: str, curves: Mapping[str, Points], title: str, kind: str = "png") -> list[str]:
    """Writes loss.KIND and accuracy.KIND into the folder, each if it has a curve, whole or not at all. Returns the
    paths. title: which run it is; kind: png, pdf or svg."""
    figures = {"loss": loss_figure, "accuracy": accuracy_figure}
    paths = []
    for word, make in figures.items():
        found = {name: points for name, points in curves.items() if word in name and points}
        if found:
            paths.append(os.path.join(folder, f"{word}.{kind}"))
            write_figure(paths[-1], make(found, title), _DOTS_PER_INCH)
    return paths


def loss_figure(curves: Mapping[str, Points], title: str) -> "Figure":
    """The training loss, raw (faint) and smoothed, and the losses of the test nets."""
    figure, axes = _make(title, "loss")
    colours = iter(_TESTS * len(curves))
    for name, points in curves.items():
        iterations, values = np.array(points, np.float64).T
        if name.startswith("test"):
            axes.plot(iterations, values, **_marked(points), color=next(colours), label=curve_label(name), zorder=3)
            continue
        window = smoothing_window(len(points))
        if window > 1:
            axes.plot(
                iterations,
                values,
                color=_TRAINING,
                alpha=0.25,
                linewidth=0.7,
                label=f"{curve_label(name)}, each iteration",
            )
            values = trailing_mean(values, window)
            style: dict[str, Any] = {"label": f"{curve_label(name)}, mean of the last {window} iterations"}
        else:
            style = {**_marked(points), "label": curve_label(name)}
        axes.plot(iterations, values, color=_TRAINING, linewidth=1.6, **style)
    return _finished(figure, axes, curves, losses=True)


def accuracy_figure(curves: Mapping[str, Points], title: str) -> "Figure":
    """The accuracies in %, on an axis from 0 to 100: nothing looks larger than it is."""
    figure, axes = _make(title, "accuracy, %")
    colours = iter(_TESTS * len(curves))
    for name, points in curves.items():
        iterations, values = np.array(points, np.float64).T
        best = int(np.argmax(values))
        label = f"{curve_label(name)}: best {100 * values[best]:.1f} %, iteration {iterations[best]:.0f}"
        axes.plot(iterations, 100 * values, **_marked(points), color=next(colours), label=label, clip_on=False)
    axes.set(ylim=(0, 100), yticks=range(0, 101, 20))
    return _finished(figure, axes, curves, losses=False)


def _make(title: str, what: str) -> tuple["Figure", "Axes"]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5))
    FigureCanvasAgg(figure)  # draws to memory: no display, no pyplot state
    axes = figure.add_axes((0.09, 0.11, 0.88, 0.80))  # a layout engine would draw everything twice
    axes.set_title(
        title if len(title) <= _LONGEST else f"{title[:40]} ... {title[-40:]}", fontsize=12, parse_math=False
    )
    axes.set(xlabel="iteration", ylabel=what)
    return figure, axes


def _marked(points: Points) -> dict[str, Any]:
    return {"marker": "o", "markersize": 3.5} if len(points) <= _MARKED else {}


def _finished(figure: "Figure", axes: "Axes", curves: Mapping[str, Points], losses: bool) -> "Figure":
    from matplotlib.ticker import MaxNLocator

    first = min(points[0][0] for points in curves.values())
    last = max(points[-1][0] for points in curves.values())
    first = 0 if first < last / 2 else first  # a run that another began may have its later part alone
    margin = 0.02 * (last - first) or 1
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.6")
    axes.legend(frameon=False, loc="upper right" if losses else "best")
    return figure

"""The picture of an ablation: a panel of bars for each table, the paper's figures as open marks of their own."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from converter.files import atomic_path
from pytsn.ablation_table import PAPER, Result, figure_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DOTS_PER_INCH = 110
_TITLES = {"modalities": "input modalities", "consensus": "consensus of training", "depth": "depth of network"}
#: colour of a bar by its column, and in the table of modalities by whether it fuses
_COLOURS = {"rgb": "#4477aa", "flow": "#cc6644", "fused": "#55555f", "accuracy": "#4477aa"}
_SEED = {"marker": ".", "color": "black", "s": 16, "zorder": 3, "linewidths": 0}
_PAPER = {"marker": "D", "facecolors": "none", "edgecolors": "#999999", "s": 30, "zorder": 3}


def write_plot(path: str | os.PathLike, results: Sequence[Result], heading: str, chance: float) -> None:
    """Writes the PNG, whole or not at all. chance: accuracy of a guess, in %, drawn as a line."""
    figure = ablation_figure(results, heading, chance)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DOTS_PER_INCH)


def ablation_figure(results: Sequence[Result], heading: str, chance: float) -> "Figure":
    """The matplotlib figure: one axes a table, in the order of the results."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    tables = list(dict.fromkeys(result.row.table for result in results))
    groups = [[result for result in results if result.row.table == table] for table in tables]
    bars = max(sum(len(result.row.figures) + 0.6 for result in group) for group in groups)
    figure = Figure(figsize=(1.2 + 4.6 * len(tables), 2.2 + 0.27 * bars), layout="constrained")
    FigureCanvasAgg(figure)  # drawn to memory: no display, no pyplot state
    for axes, table, group in zip(figure.subplots(1, len(tables), squeeze=False)[0], tables, groups, strict=True):
        _draw(axes, group, chance)
        axes.set_title(_TITLES[table], fontsize=12)
    figure.suptitle(heading, fontsize=12)
    _legend(figure, results)
    return figure


def _draw(axes: "Axes", group: Sequence[Result], chance: float) -> None:
    """Rows from above; within a row a bar for each figure, a dot for each seed."""
    place, ticks = 0.0, []
    for result in group:
        first = place
        for index in range(len(result.row.figures)):
            _bar(axes, result, index, place)
            place += 1
        ticks.append(((first + place - 1) / 2, result.row.name))
        place += 0.6
    axes.axvline(chance, color="#999999", linewidth=0.9, linestyle=":", zorder=2)
    axes.set_yticks(*zip(*ticks, strict=True), fontsize=10)
    axes.set_ylim(place - 1, -0.7)
    axes.set_xlim(0, 118)  # room for the numbers behind the longest bar
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("mean class accuracy, %")
    axes.grid(axis="x", color="0.9", zorder=0)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)


def _bar(axes: "Axes", result: Result, index: int, place: float) -> None:
    figure, mean = result.row.figures[index], result.mean(index)
    fused = figure.column == "accuracy" and len(figure.weights) > 1
    colour = _COLOURS["fused" if fused else figure.column]
    if mean is not None:
        axes.barh(place, mean, 0.82, color=colour, alpha=0.75, zorder=1)
        values = [value for value in result.values[index] if value is not None]
        if len(values) > 1:
            axes.scatter(values, [place] * len(values), **_SEED)
    if figure.published is not None:
        axes.scatter([figure.published], [place], **_PAPER)
    right = max([mean or 0, *(value or 0 for value in result.values[index])])
    axes.text(right + 1.5, place, figure_text(result, index), va="center", fontsize=8.5, zorder=4)


def _legend(figure: "Figure", results: Sequence[Result]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    columns = dict.fromkeys(item.column for result in results for item in result.row.figures if item.column in _COLOURS)
    names = {"accuracy": "one modality"}
    handles = [
        Patch(color=_COLOURS[name], alpha=0.75, label=names.get(name, name)) for name in columns if name != "accuracy"
    ]
    if "accuracy" in columns and not handles:
        handles = [
            Patch(color=_COLOURS["accuracy"], alpha=0.75, label="one"),
            Patch(color=_COLOURS["fused"], label="fused"),
        ]
    if any(len(values) > 1 for result in results for values in result.values):
        handles.append(Line2D([], [], color="black", marker=".", linestyle="", label="one seed"))
    handles.append(Line2D([], [], color="#999999", linestyle=":", label="chance"))
    if any(item.published is not None for result in results for item in result.row.figures):
        mark = {"marker": "D", "markerfacecolor": "none", "color": "#999999", "linestyle": ""}
        handles.append(Line2D([], [], **mark, label=f"{PAPER}, BN-Inception: other data"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=10)

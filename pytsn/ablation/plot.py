"""The picture of an ablation: a panel of bars for each table, with the paper's figures as open marks."""

import os
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytsn.ablation.plan import Figure
from pytsn.ablation.table import PAPER, Result, figure_text
from pytsn.data.modalities import MODALITIES
from pytsn.runtime.picture_file import write_figure

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

_DOTS_PER_INCH = 110
_TITLES = {"modalities": "input modalities", "consensus": "consensus of training", "depth": "depth of network"}
#: colours of the bars: one modality, or several fused
_COLOURS = {**{row.name: row.colour for row in MODALITIES.values()}, "fused": "#66666f"}
_LETTERS = 10  # of the heading an inch
_NUMBERS = 104  # x position (in %) of the figures as text
_SEED: dict[str, Any] = {"marker": "o", "color": "black", "s": 9, "zorder": 3, "linewidths": 0}
_PAPER: dict[str, Any] = {"marker": "D", "facecolors": "white", "edgecolors": "#888888", "s": 28, "zorder": 3}


def write_plot(
    path: str | os.PathLike, results: Sequence[Result], heading: str, chance: float, published: bool = True
) -> None:
    """Writes the picture, PNG, PDF or SVG, whole or not at all. chance: accuracy of random guessing, in %, drawn as a
    line. published: whether the paper's figures are drawn: they are no measure for other videos than the paper's."""
    write_figure(path, ablation_picture(results, heading, chance, published), _DOTS_PER_INCH)


def ablation_picture(results: Sequence[Result], heading: str, chance: float, published: bool = True) -> "Picture":
    """The matplotlib figure: one axes per table, in the order of the results."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Picture

    tables = list(dict.fromkeys(result.row.table for result in results))
    groups = [[result for result in results if result.row.table == table] for table in tables]
    bars = max(sum(len(result.row.figures) + 0.6 for result in group) for group in groups)
    width = 1.2 + 4.6 * len(tables)
    lines = textwrap.wrap(heading, round(_LETTERS * width))
    picture = Picture(figsize=(width, 1.7 + 0.2 * len(lines) + 0.26 * bars), layout="constrained")
    FigureCanvasAgg(picture)  # renders to memory: needs no display and no pyplot state
    for axes, table, group in zip(picture.subplots(1, len(tables), squeeze=False)[0], tables, groups, strict=True):
        _draw(axes, group, chance, published)
        axes.set_title(_TITLES[table], fontsize=12)
    picture.suptitle("\n".join(lines), fontsize=12, parse_math=False)
    _legend(picture, results, len(tables), published)
    return picture


def _draw(axes: "Axes", group: Sequence[Result], chance: float, published: bool) -> None:
    """Draws the rows from the top; in each row a bar per figure and a dot per seed."""
    place, ticks = 0.0, []
    for result in group:
        first = place
        for index in range(len(result.row.figures)):
            _bar(axes, result, index, place, published)
            place += 1
        ticks.append(((first + place - 1) / 2, result.row.name))
        place += 0.6
    axes.axvline(chance, color="#999999", linewidth=0.9, linestyle=":", zorder=2)
    axes.set_yticks(*zip(*ticks, strict=True), fontsize=10)
    axes.set_ylim(place - 1, -0.7)
    axes.set_xlim(0, 128)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("mean class accuracy, %")
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right"]].set_visible(False)


def _bar(axes: "Axes", result: Result, index: int, place: float, published: bool) -> None:
    figure, mean = result.row.figures[index], result.mean(index)
    if mean is not None:
        axes.barh(place, mean, 0.84, color=_COLOURS[_kind(figure)], zorder=1)
        values = [value for value in result.values[index] if value is not None]
        if len(values) > 1:
            axes.scatter(values, [place] * len(values), **_SEED)
    if published and figure.published is not None:
        axes.scatter([figure.published], [place], **_PAPER)
    axes.text(_NUMBERS, place, figure_text(result, index), va="center", fontsize=9)


def _kind(figure: Figure) -> str:
    return "fused" if len(figure.weights) > 1 else next(iter(figure.weights))


def _legend(picture: "Picture", results: Sequence[Result], panels: int, published: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    kinds = {_kind(item) for result in results for item in result.row.figures}
    handles: list[Artist] = [Patch(color=colour, label=kind) for kind, colour in _COLOURS.items() if kind in kinds]
    if any(len(values) > 1 for result in results for values in result.values):
        handles.append(Line2D([], [], color="black", marker="o", markersize=3, linestyle="", label="one seed"))
    handles.append(Line2D([], [], color="#999999", linestyle=":", label="chance"))
    if published and any(item.published is not None for result in results for item in result.row.figures):
        mark: dict[str, Any] = {"marker": "D", "markerfacecolor": "white", "color": "#888888", "linestyle": ""}
        handles.append(Line2D([], [], **mark, label=f"{PAPER}: its nets and schedules"))
    columns = min(len(handles), 3 * panels)
    picture.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=10)

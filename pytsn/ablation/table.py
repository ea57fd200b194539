"""Computes the figures of the tables from the cells' scores, and writes the tables as text, Markdown and JSON.

The test is that of the papers for every training consensus: the scores of 25 snippets x 10 crops are averaged before
any softmax, streams are added with their weights, and accuracy is the mean of the class accuracies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pytsn.ablation.plan import Cell, Figure, Row
from pytsn.scores.aggregation import fusion
from pytsn.scores.metrics import class_accuracy

PAPER = "paper, UCF101 split 1"


@dataclass(frozen=True)
class Result:
    """A row with its accuracies in %: for each figure one per seed, None if a run is missing."""

    row: Row
    values: tuple[tuple[float | None, ...], ...]

    def mean(self, index: int) -> float | None:
        """Mean of figure ``index`` over the seeds that have it."""
        found = [value for value in self.values[index] if value is not None]
        return sum(found) / len(found) if found else None

    def spread(self, index: int) -> float | None:
        """Sample standard deviation (n - 1) over the seeds; None for fewer than two."""
        found = [value for value in self.values[index] if value is not None]
        return float(np.std(found, ddof=1)) if len(found) > 1 else None


def accuracy(streams: Sequence[np.ndarray], weights: Sequence[float], labels: np.ndarray) -> float:
    """Mean class accuracy, in %, of the weighted sum of the streams' scores (V, K); labels (V,)."""
    fused = fusion(np.zeros_like(streams[0]), list(streams), list(weights), norm=False)
    return class_accuracy(labels, fused.argmax(axis=1)).mean * 100


def make_results(
    rows: Sequence[Row], seeds: Sequence[int], scores: Mapping[Cell, np.ndarray], labels: np.ndarray
) -> list[Result]:
    """The figures of the tables. scores: (V, K) of each finished cell; labels: (V,)."""

    def value(row: Row, figure: Figure, seed: int) -> float | None:
        cells = row.cells(figure, seed)
        if not all(cell in scores for cell in cells):
            return None
        return accuracy([scores[cell] for cell in cells], list(figure.weights.values()), labels)

    return [
        Result(row, tuple(tuple(value(row, figure, seed) for seed in seeds) for figure in row.figures)) for row in rows
    ]


def figure_text(result: Result, index: int) -> str:
    """``87.5``, ``87.5 ± 1.2`` over several seeds, ``-`` if missing."""
    mean, spread = result.mean(index), result.spread(index)
    if mean is None:
        return "-"
    return f"{mean:.1f}" if spread is None else f"{mean:.1f} ± {spread:.1f}"


def table_cells(results: Sequence[Result], table: str) -> list[list[str]]:
    """Header and rows of a table: setting, weights (if they differ), our figures; the paper's in the last column."""
    own = [result for result in results if result.row.table == table]
    columns = list(dict.fromkeys(figure.column for result in own for figure in result.row.figures))
    weighted = table == "modalities"
    paper = PAPER if weighted else f"{PAPER} ({' / '.join(columns)})"
    lines = [["setting", *(["weights"] if weighted else []), *columns, paper]]
    for result in own:
        figures = {figure.column: index for index, figure in enumerate(result.row.figures)}
        ours = [figure_text(result, figures[column]) if column in figures else "-" for column in columns]
        theirs = [_published(result.row, figures.get(column)) for column in columns]
        weights = [" : ".join(f"{weight:g}" for weight in result.row.figures[0].weights.values())] if weighted else []
        lines.append([result.row.name, *weights, *ours, "-" if set(theirs) == {"-"} else " / ".join(theirs)])
    return lines


def _published(row: Row, index: int | None) -> str:
    value = None if index is None else row.figures[index].published
    return "-" if value is None else f"{value:.1f}"


def text_table(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines for a terminal: first column left-aligned, all others right-aligned."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return [
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def markdown_table(lines: Sequence[Sequence[str]]) -> list[str]:
    """The same in Markdown."""
    head, *body = lines
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *body)]


def as_json(results: Sequence[Result]) -> list[dict]:
    """Every figure: its row, fusion weights, accuracies by seed, mean, standard deviation, and the paper's value."""
    return [
        {
            **{key: value for key, value in asdict(result.row).items() if key != "figures"},
            "column": figure.column,
            "weights": figure.weights,
            "accuracies": list(result.values[index]),
            "mean": result.mean(index),
            "standard_deviation": result.spread(index),
            "paper_ucf101_split1": figure.published,
        }
        for result in results
        for index, figure in enumerate(result.row.figures)
    ]

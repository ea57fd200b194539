"""The demo's results: accuracies and confusion of each stream and of their fusion, as text, JSON and pictures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converter.files import write_bytes
from pytsn.demo.videos import CLASSES, MOTIONS
from pytsn.scores.aggregation import default_aggregation, fusion
from pytsn.scores.alignment import align
from pytsn.scores.confusion_picture import draw_confusion_matrices, draw_confusion_matrix
from pytsn.scores.metrics import class_accuracy, confusion_matrix
from pytsn.scores.score_file import read_scores

FUSION_WEIGHTS = (1.0, 1.5)  # rgb, flow: the paper's (1608.00859, section 4.2) and the original README's


@dataclass(frozen=True)
class StreamResult:
    """One stream's result on the test videos. Accuracies are 0 to 1; ``shape`` and ``motion`` count a video as right
    when that half of the predicted class is right; ``confusion`` is int64 (K, K), rows the true classes."""

    name: str
    accuracy: float
    shape: float
    motion: float
    confusion: np.ndarray


def evaluate(name: str, scores: np.ndarray, labels: np.ndarray) -> StreamResult:
    """Scores (V, K) and labels (V,) -> result; accuracy is the mean over classes, as eval-net prints it."""
    predicted, motions = scores.argmax(axis=1), len(MOTIONS)
    return StreamResult(
        name,
        class_accuracy(labels, predicted).mean,
        float((predicted // motions == labels // motions).mean()),
        float((predicted % motions == labels % motions).mean()),
        confusion_matrix(labels, predicted, len(CLASSES)),
    )


def evaluate_files(rgb: Path, flow: Path) -> list[StreamResult]:
    """Results of rgb, of flow and of their weighted sum, from the two score files (what eval-scores does)."""
    aligned = align([read_scores(path) for path in (rgb, flow)])
    streams = [
        np.stack([default_aggregation(video, normalization=False) for video in scores]) for scores in aligned.scores
    ]
    fused = fusion(np.zeros_like(streams[0]), streams, FUSION_WEIGHTS, norm=False)
    return [
        evaluate(name, scores, aligned.labels)
        for name, scores in zip(("rgb", "flow", "fused"), (*streams, fused), strict=True)
    ]


def write_pictures(folder: Path, results: Sequence[StreamResult]) -> list[Path]:
    """confusion_<stream>.png of each stream and confusion.png with all of them; returns the paths."""
    panels = [(result.confusion, f"{result.name}: {result.accuracy:.1%}") for result in results]
    for result, (matrix, title) in zip(results, panels, strict=True):
        draw_confusion_matrix(folder / f"confusion_{result.name}.png", matrix, CLASSES, title)
    videos = int(results[0].confusion.sum())
    draw_confusion_matrices(
        folder / "confusion.png",
        panels,
        CLASSES,
        f"{videos} test videos, mean class accuracy of each stream and of both",
    )
    return [folder / f"confusion{end}.png" for end in ("", *(f"_{result.name}" for result in results))]


def result_table(results: Sequence[StreamResult]) -> list[str]:
    """The results as lines of a table."""
    rows = [f"{'stream':<8}{'accuracy':>10}{'shape right':>14}{'motion right':>14}"]
    return rows + [
        f"{result.name:<8}{result.accuracy:>10.1%}{result.shape:>14.1%}{result.motion:>14.1%}" for result in results
    ]


def write_results(
    folder: Path, results: Sequence[StreamResult], seconds: Mapping[str, float], settings: Mapping[str, object]
) -> None:
    """Writes results.txt (the last lines of the terminal) and results.json (the same plus the confusion matrices)."""
    lines = [
        *result_table(results),
        "",
        *time_table(seconds),
        "",
        *(f"{key}: {value}" for key, value in settings.items()),
    ]
    write_bytes(folder / "results.txt", ("\n".join(lines) + "\n").encode())
    streams = {
        result.name: {
            "accuracy": result.accuracy,
            "shape_accuracy": result.shape,
            "motion_accuracy": result.motion,
            "confusion": result.confusion.tolist(),
        }
        for result in results
    }
    content = {"settings": dict(settings), "classes": CLASSES, "streams": streams, "seconds": dict(seconds)}
    write_bytes(folder / "results.json", (json.dumps(content, indent=1) + "\n").encode())


def time_table(seconds: Mapping[str, float]) -> list[str]:
    """Seconds of each step and their sum, as lines."""
    rows = [*seconds.items(), ("all", sum(seconds.values()))]
    return [f"{name:<28}{spent:>8.1f} s" for name, spent in rows]


def fusion_wins(results: Sequence[StreamResult]) -> bool:
    """Whether the fused accuracy is above that of every single stream."""
    *single, fused = results
    return fused.accuracy > max(result.accuracy for result in single)

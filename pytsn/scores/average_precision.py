"""Metrics for multi-label videos from the ActivityNet classification task: mean average precision and hit@k.

Source: the official evaluation (github.com/activitynet/ActivityNet, Evaluation/eval_classification.py and utils.py).
Average precision is interpolated as in the VOC 2011 devkit and averaged over the classes that occur in the subset.
hit@k counts a video when any of its classes is among its k best; average hit@k counts the share of its classes there.
Letters: V videos, K classes.
"""

from dataclasses import dataclass

import numpy as np

from converter.errors import PytsnError


@dataclass(frozen=True)
class MeanAveragePrecision:
    """classes: int64 (M,), classes with a video, ascending; values: float64 (M,), 0 to 1, their average precision."""

    classes: np.ndarray
    values: np.ndarray

    @property
    def mean(self) -> float:
        """The mean over the classes, 0 to 1: mAP."""
        return float(self.values.mean())


def average_precision(relevant: np.ndarray, scores: np.ndarray, interpolated: bool = True) -> float:
    """Area under one class's precision-recall curve, 0 to 1; relevant: bool (V,), scores: float (V,).

    ``interpolated``: the precision at a recall is the best one at that recall or above (VOC 2011); otherwise the
    precision itself (sklearn's average_precision_score). Videos with equal scores count together, so the order of the
    videos does not matter; in the official code it depends on the sort. nan ranks last.

    Raises PytsnError when no video is relevant, and when the lengths differ.
    """
    relevant, scores = np.asarray(relevant, bool), np.asarray(scores, np.float64)
    if relevant.shape != scores.shape or relevant.ndim != 1:
        raise PytsnError(f"average precision: labels {relevant.shape} for scores {scores.shape}")
    if not relevant.any():
        raise PytsnError("average precision: the class has no video")
    scores = np.where(np.isnan(scores), -np.inf, scores)
    order = np.argsort(-scores, kind="stable")
    last = np.append(scores[order][1:] != scores[order][:-1], True)  # (V,): ends of runs of equal scores
    found = np.cumsum(relevant[order])[last]
    precision, recall = found / (np.flatnonzero(last) + 1), found / relevant.sum()
    if interpolated:
        precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0) * precision))


def mean_average_precision(relevant: np.ndarray, scores: np.ndarray, interpolated: bool = True) -> MeanAveragePrecision:
    """The average precision of every class that has a video; relevant: bool (V, K), scores: float (V, K).

    Scores of different videos are compared, so pass them after the softmax, as the original does. Raises PytsnError
    when no class has a video, and when the shapes differ.
    """
    relevant, scores = _checked(relevant, scores)
    classes = np.flatnonzero(relevant.any(axis=0))
    if not classes.size:
        raise PytsnError("no video has a label: there is no average precision")
    values = [average_precision(relevant[:, k], scores[:, k], interpolated) for k in classes]
    return MeanAveragePrecision(classes, np.array(values))


def hit_at_k(relevant: np.ndarray, scores: np.ndarray, k: int = 3, average: bool = False) -> float:
    """Share of the videos (0 to 1) with one of their classes among their k largest scores; with ``average``, the mean
    over the videos of the share of their classes found there. relevant: bool (V, K), scores: float (V, K).

    Among equal scores the lower class index ranks first; nan ranks last. Videos without a label are left out. Raises
    PytsnError when no video is left, and when the shapes differ.
    """
    relevant, scores = _checked(relevant, scores)
    labelled = relevant.any(axis=1)
    if not labelled.any():
        raise PytsnError("no video has a label: there is no hit@k")
    best = np.argsort(-scores[labelled], axis=1, kind="stable")[:, :k]  # (V, k)
    hits = np.take_along_axis(relevant[labelled], best, axis=1).sum(axis=1)
    return float((hits / relevant[labelled].sum(axis=1)).mean() if average else (hits > 0).mean())


def label_matrix(label_sets: list[list[int]], num_classes: int) -> np.ndarray:
    """The classes of each video as bool (V, K). Raises PytsnError for a label outside 0 to K - 1."""
    relevant = np.zeros((len(label_sets), num_classes), bool)
    for index, labels in enumerate(label_sets):
        for label in labels:
            if not 0 <= label < num_classes:
                raise PytsnError(f"video number {index + 1} has label {label}, but classes are 0 to {num_classes - 1}")
            relevant[index, label] = True
    return relevant


def _checked(relevant: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    relevant, scores = np.asarray(relevant, bool), np.asarray(scores, np.float64)
    if relevant.shape != scores.shape or relevant.ndim != 2:
        raise PytsnError(f"labels {relevant.shape} for scores {scores.shape}: both are (videos, classes)")
    return relevant, scores

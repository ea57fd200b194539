"""The numbers of the report, computed from fused score files. Letters: V videos, K classes, S streams.

A video counts as right when its predicted class is its label, or any of its classes where it may have several.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from converter.errors import PytsnError
from pytsn.evaluation.fused_scores import FusedScores
from pytsn.report.accuracies import Accuracies, accuracies, stream_names
from pytsn.scores.aggregation import softmax
from pytsn.scores.average_precision import label_matrix, mean_average_precision
from pytsn.scores.metrics import class_accuracy, confusion_matrix

#: the matrix of more classes would take gigabytes
MOST_CLASSES = 4000


@dataclass(frozen=True)
class ClassResult:
    """A class that has a video. label: from 0; videos: of this class; right: how many of them were predicted as it;
    average_precision: 0 to 1 where videos may have several classes, else None; taken_for: (other class, videos), the
    most frequent wrong prediction, None if there is none."""

    label: int
    videos: int
    right: int
    average_precision: float | None
    taken_for: tuple[int, int] | None

    @property
    def accuracy(self) -> float:
        """Share of its videos that were predicted as it, 0 to 1."""
        return self.right / self.videos

    @property
    def strength(self) -> float:
        """What classes are sorted by, 0 to 1: average precision where there is one, else the accuracy."""
        return self.accuracy if self.average_precision is None else self.average_precision


@dataclass(frozen=True)
class Pair:
    """videos of class ``true`` were predicted as ``predicted``, out of ``total``; back: the other way round."""

    true: int
    predicted: int
    videos: int
    total: int
    back: int


@dataclass(frozen=True)
class Findings:
    """All of the report's numbers.

    names: of the S streams. labelled: int64 (L,), the videos that have a label, as indices of all; labels, predictions:
    int64 (L,); right: bool (L,); matrix: int64 (K, K), [i, j] the videos of class i predicted as class j.
    probabilities: float64 (V, K), softmax of the fused scores; margins: float64 (L,), by how much the fused score of
    the predicted class exceeds that of the label.
    """

    names: tuple[str, ...]
    accuracies: tuple[Accuracies, ...]
    labelled: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    right: np.ndarray
    matrix: np.ndarray
    probabilities: np.ndarray
    margins: np.ndarray
    classes: tuple[ClassResult, ...]
    warnings: tuple[str, ...]

    @property
    def fused(self) -> Accuracies:
        """The last row: the streams fused, or the only one."""
        return self.accuracies[-1]

    def pairs(self, most: int) -> list[Pair]:
        """The pairs that were confused most often, at most ``most``; of equal ones the larger share of the class, then
        the lower labels first."""
        wrong = np.flatnonzero(~self.right)
        counts = Counter(zip(self.labels[wrong].tolist(), self.predictions[wrong].tolist(), strict=True))
        totals = self.matrix.sum(axis=1)
        found = [Pair(i, j, n, int(totals[i]), counts[j, i]) for (i, j), n in counts.items()]
        return sorted(found, key=lambda pair: (-pair.videos, pair.total, pair.true, pair.predicted))[:most]

    def worst(self, most: int) -> list[int]:
        """Places among the labelled videos of the most confidently wrong ones: the largest margins first."""
        margins = np.where(self.right | np.isnan(self.margins), -np.inf, self.margins)
        order = np.argsort(-margins, kind="stable")[:most].tolist()
        return [place for place in order if not self.right[place]]


def find(scores: FusedScores) -> Findings:
    """Computes everything. Raises PytsnError when no video has a label, for label sets that are no classes, and for
    more than MOST_CLASSES classes."""
    sets, fused = scores.label_sets, scores.fused
    num_classes = fused.shape[1]
    if num_classes > MOST_CLASSES:
        raise PytsnError(f"{scores.files[0].path}: {num_classes} classes; a report shows {MOST_CLASSES} at most")
    relevant = None if sets is None else label_matrix(sets, num_classes)
    labelled = np.arange(len(fused)) if relevant is None else np.flatnonzero(relevant.any(axis=1))
    if not labelled.size:
        raise PytsnError(f"{scores.files[0].path}: its videos have no labels, so there is nothing to report")
    labels, predictions = scores.aligned.labels[labelled], fused[labelled].argmax(axis=1)
    right = predictions == labels if relevant is None else relevant[labelled, predictions]
    matrix = confusion_matrix(labels, predictions, num_classes)
    probabilities = softmax(fused.astype(np.float64))
    rows = np.arange(len(labelled))
    own = fused[labelled].astype(np.float64)
    return Findings(
        stream_names(scores),
        tuple(accuracies(scores, labelled, relevant)),
        labelled,
        labels,
        predictions,
        right,
        matrix,
        probabilities,
        own[rows, predictions] - own[rows, labels],
        tuple(_classes(labels, predictions, right, relevant, probabilities, labelled)),
        tuple(class_accuracy(labels, predictions).warnings(num_classes)),
    )


def _classes(
    labels: np.ndarray,
    predictions: np.ndarray,
    right: np.ndarray,
    relevant: np.ndarray | None,
    probabilities: np.ndarray,
    labelled: np.ndarray,
) -> list[ClassResult]:
    """Those that have a video, weakest first: by average precision where there is one, else by accuracy. labels,
    predictions, right: of the L labelled videos; relevant: bool (V, K), the classes of all where they may have several.
    """
    belongs = np.arange(probabilities.shape[1]) == labels[:, None] if relevant is None else relevant[labelled]  # (L, K)
    precisions = {}
    if relevant is not None:
        result = mean_average_precision(relevant, probabilities)
        precisions = dict(zip(result.classes.tolist(), result.values.tolist(), strict=True))
    found = []
    for label in np.flatnonzero(belongs.any(axis=0)).tolist():
        own = belongs[:, label]
        wrong = Counter(predictions[own & ~right].tolist())
        most = min(wrong.items(), key=lambda item: (-item[1], item[0]), default=None)
        hits = int((predictions[own] == label).sum())
        found.append(ClassResult(label, int(own.sum()), hits, precisions.get(label), most))
    return sorted(found, key=lambda row: (row.strength, -row.videos, row.label))

"""The numbers of the report, computed from fused score files. Letters: V videos, K classes, S streams.

A video counts as right when its predicted class is its label, or any of its classes where it may have several.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converter.errors import PytsnError
from pytsn.evaluation.fused_scores import FusedScores
from pytsn.evaluation.published import Comparison, Evaluation, find_comparison
from pytsn.evaluation.summary import HITS
from pytsn.scores.aggregation import softmax
from pytsn.scores.average_precision import hit_at_k, label_matrix, mean_average_precision
from pytsn.scores.metrics import class_accuracy, confusion_matrix, top_k_accuracy


@dataclass(frozen=True)
class Accuracies:
    """A row of the first table: one stream, or all of them fused. Shares are 0 to 1.

    weight: of the stream in the sum, None for the sum. mean_class: mean of the class accuracies, as the original
    prints; videos: share of the videos that are right by their label; top5: None for five classes or fewer. mean_ap and
    hits (by k): of videos that may have several classes, else None and empty. published: None where there is no figure.
    """

    name: str
    weight: float | None
    mean_class: float
    videos: float
    top5: float | None
    mean_ap: float | None
    hits: dict[int, float]
    published: Comparison | None


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
    """Computes everything. Raises PytsnError when no video has a label, and for label sets that are no classes."""
    sets, fused = scores.label_sets, scores.fused
    num_classes = fused.shape[1]
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
        tuple(_accuracies(scores, labelled, relevant)),
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


def stream_names(scores: FusedScores) -> tuple[str, ...]:
    """What the streams are called: the modality that a file records, else the file's name; alike ones get the file's
    name, then a number, after it."""
    stems = [Path(file.path).stem for file in scores.files]
    own = [
        _modality(file.settings, evaluation) for file, evaluation in zip(scores.files, scores.evaluations, strict=True)
    ]
    names = [name or stem for name, stem in zip(own, stems, strict=True)]
    for more in ([f" ({stem})" for stem in stems], [f" {number}" for number in range(1, len(stems) + 1)]):
        times = Counter(names)
        names = [name + extra if times[name] > 1 else name for name, extra in zip(names, more, strict=True)]
    return tuple(names)


def _modality(settings: dict | None, evaluation: Evaluation | None) -> str:
    if evaluation is not None:
        return evaluation.streams[0]
    modality = (settings or {}).get("modality")
    return modality if isinstance(modality, str) else ""


def _accuracies(scores: FusedScores, labelled: np.ndarray, relevant: np.ndarray | None) -> list[Accuracies]:
    names = stream_names(scores)
    rows = [*zip(names, scores.weights, scores.streams, scores.evaluations, strict=True)]
    found = [_row(name, weight, values, run, scores, labelled, relevant) for name, weight, values, run in rows]
    if len(found) > 1:
        fused = ("fused", None, scores.fused, scores.evaluation)
        found.append(_row(*fused, scores, labelled, relevant))
    return found


def _row(
    name: str,
    weight: float | None,
    values: np.ndarray,
    run: Evaluation | None,
    scores: FusedScores,
    labelled: np.ndarray,
    relevant: np.ndarray | None,
) -> Accuracies:
    labels, own, num_classes = scores.aligned.labels[labelled], values[labelled], values.shape[1]
    predicted = own.argmax(axis=1)
    mean_ap, hits = None, {}
    if relevant is not None:
        mean_ap = mean_average_precision(relevant, softmax(values)).mean
        hits = {k: hit_at_k(relevant, values, k) for k in HITS if k == 1 or k < num_classes}
    return Accuracies(
        name,
        weight,
        class_accuracy(labels, predicted).mean,
        float(np.mean(predicted == labels)),
        top_k_accuracy(own, labels, 5) if num_classes > 5 else None,
        mean_ap,
        hits,
        find_comparison(run) if run else None,
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

"""Accuracy over videos: confusion matrix, per-class and mean class accuracy, top-k."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converter.errors import PytsnError
from converter.text_table import amount

#: one class number per video
ClassNumbers = Sequence[int] | np.ndarray


@dataclass(frozen=True)
class ClassAccuracy:
    """Accuracy of each class that has a test video.

    classes: int64 (M,), ascending; accuracies: float64 (M,), 0 to 1; counts: int64 (M,) test videos of each.
    only_predicted: classes without a test video that were predicted for some video. In the original their accuracy is
    0/0, which makes the mean nan; here they are left out.
    """

    classes: np.ndarray
    accuracies: np.ndarray
    counts: np.ndarray
    only_predicted: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Mean of the class accuracies, 0 to 1: the accuracy that the original prints (in %) and the papers report."""
        return float(self.accuracies.mean())

    def warnings(self, num_classes: int) -> list[str]:
        """A warning when some of the net's ``num_classes`` classes have no test video; else empty."""
        absent = sorted(set(range(num_classes)) - set(self.classes.tolist()))
        if not absent:
            return []
        of = f"of {num_classes} classes"
        lack = amount(len(absent), f"{of} has no test video and is", f"{of} have no test video and are")
        text = f"{lack} left out of the mean: {_few(absent)}"
        if self.only_predicted:
            text += f"; predicted all the same: {_few(self.only_predicted)}"
        return [text]


def confusion_matrix(labels: ClassNumbers, predictions: ClassNumbers, num_classes: int) -> np.ndarray:
    """int64 (K, K): entry [i, j] counts the videos of class i that were predicted as class j. Computed by scikit-learn,
    as in the original, but for all K classes, not only those that occur.

    Raises PytsnError when the lengths differ, or a label or prediction is outside 0 to K - 1 (it names the first
    video).
    """
    labels, predictions = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    if labels.shape != predictions.shape:
        raise PytsnError(f"{labels.size} labels for {predictions.size} predictions")
    for name, values in (("label", labels), ("prediction", predictions)):
        wrong = np.flatnonzero((values < 0) | (values >= num_classes))
        if wrong.size:
            raise PytsnError(f"video {wrong[0]} has {name} {values[wrong[0]]}, but classes are 0 to {num_classes - 1}")
    if not labels.size or num_classes == 1:  # sklearn rejects or warns about these
        return np.full((num_classes, num_classes), labels.size, np.int64)
    from sklearn import metrics  # imported here because it takes a second

    return metrics.confusion_matrix(labels, predictions, labels=np.arange(num_classes)).astype(np.int64, copy=False)


def class_accuracy(labels: ClassNumbers, predictions: ClassNumbers) -> ClassAccuracy:
    """Accuracy per class from labels and predicted classes (integers from 0, one per video).

    As in the original, which uses sklearn's confusion matrix, only classes that occur are listed, in ascending order.
    Raises PytsnError when there are no videos or the lengths differ.
    """
    if len(labels) == 0:
        raise PytsnError("no video was evaluated: there is no accuracy")
    highest = max(int(np.max(labels)), int(np.max(predictions))) if len(predictions) else int(np.max(labels))
    matrix = confusion_matrix(labels, predictions, highest + 1)
    counts = matrix.sum(axis=1)
    classes = np.flatnonzero(counts)
    only_predicted = np.flatnonzero((counts == 0) & (matrix.sum(axis=0) > 0))
    accuracies = matrix.diagonal()[classes] / counts[classes]
    return ClassAccuracy(classes, accuracies, counts[classes], tuple(only_predicted.tolist()))


def mean_class_accuracy(scores: np.ndarray, labels: ClassNumbers) -> float:
    """Mean class accuracy (0 to 1) over the classes that have a video; scores (V, K), labels (V,).

    The prediction is the class with the largest score, the first one if several are equal (``np.argmax``).
    """
    return class_accuracy(labels, np.argmax(scores, axis=1)).mean


def top_k_accuracy(scores: np.ndarray, labels: ClassNumbers, k: int = 5) -> float:
    """Share of the videos (0 to 1) whose label is among their k largest scores; scores (V, K), labels (V,).

    Among equal scores the lower class index ranks first, so k = 1 agrees with ``np.argmax``. Raises PytsnError for a
    label outside 0 to K - 1, and when there are no videos.
    """
    scores, labels = np.asarray(scores), np.asarray(labels, np.int64)
    if len(scores) == 0 or labels.shape != (len(scores),):
        raise PytsnError(f"{labels.size} labels for the scores of {len(scores)} videos")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise PytsnError(f"labels {labels.min()} to {labels.max()}, but the scores have {scores.shape[1]} classes")
    own = scores[np.arange(len(scores)), labels][:, None]  # (V, 1)
    before = np.arange(scores.shape[1]) < labels[:, None]  # (V, K): wins a tie against the label
    rank = ((scores > own) | ((scores == own) & before)).sum(axis=1)
    return float(((rank < k) & ~np.isnan(own[:, 0])).mean())


def _few(values: Sequence[int], limit: int = 10) -> str:
    """The first few values, for a message."""
    shown = ", ".join(str(value) for value in values[:limit])
    return shown + (", ..." if len(values) > limit else "")

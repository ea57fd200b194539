"""The last lines of an evaluation, the same for one net and for fused score files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from converter.errors import PytsnError
from converter.text_table import amount
from pytsn.data.datasets import SPLITS
from pytsn.data.rate_ticks import parse_rate
from pytsn.evaluation.published import Evaluation, comparison
from pytsn.scores.aggregation import softmax
from pytsn.scores.average_precision import hit_at_k, label_matrix, mean_average_precision
from pytsn.scores.metrics import ClassAccuracy, ClassNumbers, class_accuracy, top_k_accuracy
from pytsn.scores.score_file import ScoreFile
from pytsn.weights.name_check import stream_under_test, weights_warnings

#: values of k for which hit@k is printed
HITS = (1, 3, 5)


@dataclass(frozen=True)
class Predictions:
    """Predictions for V videos: scores float (V, K), labels (V,); label_sets: all classes of each video if it may have
    several. softmaxed: whether the softmax was applied to the scores."""

    scores: np.ndarray
    labels: ClassNumbers
    label_sets: list[list[int]] | None = None
    softmaxed: bool = True


@dataclass(frozen=True)
class Summary:
    """The results of an evaluation. accuracy: None if no video has a label; top5: None for five classes or fewer;
    further: lines of multi-label metrics; published: the comparison, or None; warnings: lines for the user."""

    accuracy: ClassAccuracy | None
    top5: float | None = None
    further: tuple[str, ...] = ()
    published: str | None = None
    warnings: tuple[str, ...] = ()

    def lines(self, accuracy: str, top5: str, class_accuracies: bool = False) -> list[str]:
        """The lines to print. ``accuracy`` and ``top5``: the command's format strings for a number in %."""
        if self.accuracy is None:
            return ["the videos have no labels: no accuracy"]
        lines = [str(self.accuracy.accuracies)] if class_accuracies else []
        lines.append(accuracy.format(self.accuracy.mean * 100))
        lines += [top5.format(self.top5 * 100)] if self.top5 is not None else []
        return [*lines, *self.further, *([self.published] if self.published else [])]


def summarise(predictions: Predictions, evaluation: Evaluation | None) -> Summary:
    """Accuracy and further metrics of the predictions, and the comparison with published accuracies.

    A video without a label counts only in mAP, as a video of no class.
    """
    scores, labels, sets = predictions.scores, np.asarray(predictions.labels), predictions.label_sets
    if sets is not None:
        labelled = [index for index, classes in enumerate(sets) if classes]
        if not labelled:
            return Summary(None)
        scores, labels = scores[labelled], labels[labelled]
    num_classes = scores.shape[1]
    accuracy = class_accuracy(labels, scores.argmax(axis=1))
    top5 = top_k_accuracy(scores, labels, 5) if num_classes > 5 else None
    published = comparison(evaluation, accuracy.mean * 100) if evaluation else None
    return Summary(
        accuracy, top5, tuple(_label_set_lines(predictions)), published, tuple(accuracy.warnings(num_classes))
    )


def _label_set_lines(predictions: Predictions) -> list[str]:
    """mAP and hit@k of multi-label videos. mAP compares scores of different videos, so it uses scores after the
    softmax, as the original's fusion does."""
    if predictions.label_sets is None:
        return []
    scores = predictions.scores
    relevant = label_matrix(predictions.label_sets, scores.shape[1])
    result = mean_average_precision(relevant, scores if predictions.softmaxed else softmax(scores))
    hits = [f"hit@{k} {hit_at_k(relevant, scores, k) * 100:.02f}%" for k in HITS if k == 1 or k < scores.shape[1]]
    return [
        f"mAP {result.mean * 100:.02f}% over {amount(len(result.classes), 'class', 'classes')}",
        " ".join(hits) + " of videos",
    ]


def fused_evaluation(evaluations: Sequence[Evaluation | None], weights: Sequence[float]) -> Evaluation | None:
    """The evaluation of these streams fused, one weight each; None unless all are known and test the same split of the
    same dataset."""
    known = [item for item in evaluations if item is not None]
    if len(known) < len(evaluations) or len({(item.dataset, item.split) for item in known}) != 1:
        return None
    streams = tuple(stream for item in known for stream in item.streams)
    frames = {item.num_frames for item in known}
    return replace(
        known[0], streams=streams, weights=tuple(weights), num_frames=frames.pop() if len(frames) == 1 else None
    )


def evaluation_of(file: ScoreFile, aggregation: str, crop_agg: str) -> Evaluation | None:
    """The evaluation that a score file records; None for files without that record (those of the original)."""
    settings = file.settings or {}
    dataset, split, modality = (settings.get(key) for key in ("dataset", "split", "modality"))
    if not isinstance(dataset, str) or not isinstance(modality, str):
        return None
    if type(split) is not int or split not in SPLITS:
        return None
    frames: int | None = len(file.scores[0])
    if settings.get("num_frame_per_video") != frames or any(len(array) != frames for array in file.scores):
        frames = None
    weights = settings.get("net_weights")
    stream = stream_under_test(modality, weights if isinstance(weights, str) else None)
    return Evaluation(
        dataset, split, (stream,), (1,), file.num_classes, len(file.scores), frames, aggregation, crop_agg
    )


def file_warnings(file: ScoreFile) -> list[str]:
    """Warnings when the file name of the weights contradicts the test recorded in a score file."""
    evaluation, weights = evaluation_of(file, "", ""), (file.settings or {}).get("net_weights")
    if evaluation is None or not isinstance(weights, str):
        return []
    return weights_warnings(weights, evaluation.dataset, evaluation.split, evaluation.streams[0])


def snippet_rate_of(file: ScoreFile) -> Fraction | None:
    """The rate, in snippets per second, that a file was sampled at; None for a fixed number of snippets or no record.

    Raises PytsnError that names the file when the recorded rate is invalid.
    """
    rate = (file.settings or {}).get("snippet_rate")
    try:
        return None if rate is None else parse_rate(str(rate))
    except PytsnError as error:
        raise PytsnError(f"{file.path}: its snippet_rate {error}") from None


def label_sets_of(file: ScoreFile) -> list[list[int]] | None:
    """All classes of each video of a score file, or None if not recorded. Raises PytsnError when they are invalid."""
    sets = (file.settings or {}).get("label_sets")
    if sets is None:
        return None
    good = isinstance(sets, list) and len(sets) == len(file.scores)
    if not good or not all(isinstance(item, list) and all(type(label) is int for label in item) for item in sets):
        raise PytsnError(f"{file.path}: its 'label_sets' are not a list of labels for each video")
    return sets

"""The report's first table: accuracies of each stream and of their sum. Letters: V videos, K classes, S streams."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pytsn.evaluation.fused_scores import FusedScores
from pytsn.evaluation.published import Comparison, Evaluation, find_comparison
from pytsn.evaluation.summary import HITS
from pytsn.scores.aggregation import softmax
from pytsn.scores.average_precision import hit_at_k, mean_average_precision
from pytsn.scores.metrics import class_accuracy, top_k_accuracy


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


def accuracies(scores: FusedScores, labelled: np.ndarray, relevant: np.ndarray | None) -> list[Accuracies]:
    """A row for each stream, then, if there are several, one for their sum.

    labelled: int64 (L,), the videos that have a label; relevant: bool (V, K), their classes where a video may have
    several, else None.
    """
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

"""The score curves of a video: the probability of two classes over its snippets, by stream, as points of an SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytsn.evaluation.fused_scores import FusedScores
from pytsn.scores.aggregation import CROP_AGGREGATIONS, fusion, softmax

#: a longer video's curve shows means of so many equal parts: more is finer than a pixel
MOST_POINTS = 400


@dataclass(frozen=True)
class Curve:
    """One stream's curve. true, predicted: float64 (P,), 0 to 1, the probability of the video's label and of its
    predicted class at each of P points; snippets: how many it has; finite: whether all its scores are numbers."""

    name: str
    snippets: int
    true: np.ndarray
    predicted: np.ndarray

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.true).all() and np.isfinite(self.predicted).all())


def video_curves(scores: FusedScores, names: Sequence[str], index: int, label: int, predicted: int) -> list[Curve]:
    """The curves of video ``index``: of all streams fused, if there are several, then of each one.

    A snippet's crops are merged as for the accuracy; its probabilities are the softmax over the classes. Streams of
    different lengths (sampling by rate) are fused over the snippets that all have.
    """
    merge = CROP_AGGREGATIONS["max" if scores.aggregation.always_max else scores.crop_agg]
    streams = [
        merge(stream[index], axis=1).astype(np.float64) for stream in scores.aligned.scores
    ]  # (T, C, K) -> (T, K)
    rows = list(zip(names, streams, strict=True))
    if len(streams) > 1:
        length = min(map(len, streams))
        parts = [values[:length] for values in streams]
        rows.insert(0, ("fused", fusion(np.zeros_like(parts[0]), parts, scores.weights, norm=False)))
    return [_curve(name, softmax(values), label, predicted) for name, values in rows]


def _curve(name: str, probabilities: np.ndarray, label: int, predicted: int) -> Curve:
    true, other = (_means(probabilities[:, column]) for column in (label, predicted))
    return Curve(name, len(probabilities), true, other)


def _means(values: np.ndarray) -> np.ndarray:
    """The values, or the means of MOST_POINTS parts of them where they are more."""
    if len(values) <= MOST_POINTS:
        return values
    return np.array([part.mean() for part in np.array_split(values, MOST_POINTS)])


def svg_points(values: np.ndarray, width: float, height: float) -> str:
    """``x,y x,y ...``: each value in the middle of its share of the width; 0 is at the bottom, 1 at the top. A single
    value is a line over the whole width."""
    count = len(values)
    y = [(1 - value) * height for value in values.tolist()]
    x = [(place + 0.5) / count * width for place in range(count)]
    if count == 1:
        x, y = [0, width], y * 2
    return " ".join(f"{_short(a)},{_short(b)}" for a, b in zip(x, y, strict=True))


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

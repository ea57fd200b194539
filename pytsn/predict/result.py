"""The prediction for a video: scores of every stream, and their fusion. Letters: T snippets, C crops, K classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np

from pytsn.data.modalities import MODALITIES
from pytsn.data.sources import Source
from pytsn.predict.labels import number_labels
from pytsn.scores.aggregation import CROP_AGGREGATIONS, Aggregation, fusion, parse_aggregation, softmax

_THREE = {"rgb", "flow", "warped"}


@dataclass(frozen=True, repr=False)
class Prediction:
    """One video's scores; ``print`` shows the best classes. images: number that it has or would be extracted to; fps:
    frame rate, None if unknown.

    By stream: ticks: first image of each snippet; scores: float32 (T, C, K) before the softmax; weights: weight in the
    sum. thumbnails: (image number, uint8 (H, W, 3) BGR) in order of time. labels: class names, (): numbers.
    """

    source: Source
    images: int
    fps: float | None
    ticks: Mapping[str, Sequence[int]]
    scores: Mapping[str, np.ndarray]
    weights: Mapping[str, float]
    aggregation: Aggregation = field(default_factory=lambda: parse_aggregation("mean"))
    thumbnails: Sequence[tuple[int, np.ndarray]] = ()
    labels: Sequence[str] = ()

    def __str__(self) -> str:
        return "\n".join(text_lines(self, self._names(), 5))

    def __repr__(self) -> str:
        return (
            f"<Prediction {self.source.name}: {', '.join(f'{name} {percent(share)}' for name, share in self.top(2))}>"
        )

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The best classes of the fused streams, best first: name and probability (0 to 1)."""
        fused, names = self.probabilities(), self._names()
        return [(names[label], float(fused[label])) for label in best_classes(fused, count)]

    def _names(self) -> Sequence[str]:
        return self.labels or number_labels(next(iter(self.scores.values())).shape[-1])

    def stream_probabilities(self, stream: str) -> np.ndarray:
        """Softmax of one stream's video scores: (K,)."""
        return self.aggregation(self.scores[stream])

    def probabilities(self) -> np.ndarray:
        """Softmax of the weighted sum of the streams' video scores, as ``eval-scores`` fuses them: (K,)."""
        return self._fused([self.aggregation(scores, normalization=False) for scores in self.scores.values()])

    def snippet_probabilities(self) -> np.ndarray:
        """Softmax of the weighted sum of the streams' scores of each snippet: (T, K). Leaves out extra snippets at the
        end, which sampling by rate may give one of the streams."""
        merge = CROP_AGGREGATIONS["max" if self.aggregation.always_max else "mean"]
        streams = [merge(scores, axis=1) for scores in self.scores.values()]  # (T, C, K) -> (T, K)
        length = min(map(len, streams))
        return self._fused([scores[:length] for scores in streams])

    def _fused(self, scores: Sequence[np.ndarray]) -> np.ndarray:
        weights = [self.weights[stream] for stream in self.scores]
        return softmax(fusion(scores[0] * weights[0], scores[1:], weights[1:], norm=False))


def default_weights(streams: Sequence[str]) -> dict[str, float]:
    """The papers' fusion weights for these streams: rgb 1 : flow 1.5; rgb 1 : flow 1 : warped 0.5."""
    weight = attrgetter("weight_of_three" if set(streams) >= _THREE else "fusion_weight")
    return {stream: weight(MODALITIES[stream]) for stream in streams}


def best_classes(probabilities: np.ndarray, top: int) -> list[int]:
    """The ``top`` classes with the largest probabilities (K,), best first; of equal ones the lower class first."""
    return np.argsort(-probabilities, kind="stable")[:top].tolist()


def text_lines(prediction: "Prediction", labels: Sequence[str], top: int) -> list[str]:
    """The video's name, then a line per class: its fused probability and, with several streams, that of each stream."""
    fused = prediction.probabilities()
    streams = [prediction.stream_probabilities(stream) for stream in prediction.scores]
    columns = [("fused", fused), *zip(prediction.scores, streams, strict=True)] if len(streams) > 1 else [("", fused)]
    head = "".join(f"{name:>10}" for name, _ in columns)
    lines = [f"{prediction.source.name}: {labels[best_classes(fused, 1)[0]]}"]
    if len(columns) > 1:
        lines.append(f"{head}")
    for label in best_classes(fused, top):
        lines.append("".join(f"{percent(values[label]):>10}" for _, values in columns) + f"  {labels[label]}")
    return lines


def percent(probability: float) -> str:
    """0.1234 as 12.3 %."""
    return f"{probability * 100:.1f} %"

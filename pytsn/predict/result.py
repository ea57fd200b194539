"""The prediction for a video: scores of every stream, and their fusion. Letters: T snippets, C crops, K classes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import numpy as np

from pytsn.data.modalities import MODALITIES
from pytsn.data.sources import Source
from pytsn.scores.aggregation import CROP_AGGREGATIONS, Aggregation, fusion, parse_aggregation, softmax

_THREE = {"rgb", "flow", "warped"}


@dataclass(frozen=True)
class Prediction:
    """One video's scores. images: number that it has or would be extracted to; fps: frame rate, None if unknown.

    By stream: ticks: first image of each snippet; scores: float32 (T, C, K) before the softmax; weights: weight in the
    sum. thumbnails: (image number, uint8 (H, W, 3) BGR) in order of time.
    """

    source: Source
    images: int
    fps: float | None
    ticks: Mapping[str, Sequence[int]]
    scores: Mapping[str, np.ndarray]
    weights: Mapping[str, float]
    aggregation: Aggregation = field(default_factory=lambda: parse_aggregation("mean"))
    thumbnails: Sequence[tuple[int, np.ndarray]] = ()

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

"""Score files of one or several streams, matched by video and fused: what ``eval-scores`` prints and the report shows.

Letters: S streams (score files), V videos, T snippets, C crops, K classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converter.errors import PytsnError
from converter.text_table import amount
from pytsn.evaluation.published import Evaluation
from pytsn.evaluation.summary import (
    Predictions,
    evaluation_of,
    file_warnings,
    fused_evaluation,
    label_sets_of,
    snippet_rate_of,
)
from pytsn.scores.aggregation import Aggregation, fusion
from pytsn.scores.alignment import AlignedScores, align
from pytsn.scores.score_file import ScoreFile
from pytsn.scores.snippet_rate import aggregation_at


@dataclass(frozen=True)
class FusedScores:
    """S score files fused.

    files: as they were given; aligned: their scores in the order of the first file; weights: of the sum. streams:
    S x float (V, K), each stream's video scores, and fused: (V, K), their weighted sum, both before the softmax.
    label_sets: all classes of each video, None where each has one. evaluations: what each file says it is a test of.
    notes: lines for the user that are no warnings.
    """

    files: tuple[ScoreFile, ...]
    aligned: AlignedScores
    weights: tuple[float, ...]
    aggregation: Aggregation
    crop_agg: str
    streams: tuple[np.ndarray, ...]
    fused: np.ndarray
    label_sets: list[list[int]] | None
    evaluations: tuple[Evaluation | None, ...]
    notes: tuple[str, ...]

    @property
    def predictions(self) -> Predictions:
        """The fused scores with the labels."""
        return self.predictions_of(self.fused)

    def predictions_of(self, scores: np.ndarray) -> Predictions:
        """Scores (V, K), before the softmax, with the labels."""
        return Predictions(scores, self.aligned.labels, self.label_sets, softmaxed=False)

    @property
    def evaluation(self) -> Evaluation | None:
        """The test of the fused streams; None where the files do not say, or say different things."""
        return fused_evaluation(self.evaluations, self.weights)

    @property
    def warnings(self) -> list[str]:
        """Lines about the files: videos without names, scores that are not finite, weights of another test."""
        return [*self.aligned.warnings, *(text for file in self.files for text in file_warnings(file))]


def fuse(
    files: Sequence[ScoreFile],
    weights: Sequence[float] | None = None,
    aggregation: str = "mean",
    crop_agg: str = "mean",
) -> FusedScores:
    """Aggregates each file's scores to one vector a video, without softmax, and adds them up with the weights (None: 1
    each). ``aggregation``: as on the command line (pytsn/scores/aggregation.py).

    Raises PytsnError for files that do not fit together, another number of weights, weights that are not finite, and an
    aggregation that is unknown or does not fit the snippets' rate.
    """
    checked = _checked_weights(weights, len(files))
    aggregate, notes = aggregation_at(aggregation, map(snippet_rate_of, files), "the files hold")
    aligned = align(files)
    streams = tuple(
        np.stack([aggregate(video, normalization=False, crop_agg=crop_agg) for video in scores])
        for scores in aligned.scores
    )  # per file V x (T, C, K) -> (V, K)
    fused = fusion(np.zeros_like(streams[0]), streams, checked, norm=False)
    evaluations = tuple(evaluation_of(file, aggregation, crop_agg) for file in files)
    sets = label_sets_of(files[0])
    return FusedScores(
        tuple(files), aligned, checked, aggregate, crop_agg, streams, fused, sets, evaluations, tuple(notes)
    )


def _checked_weights(weights: Sequence[float] | None, count: int) -> tuple[float, ...]:
    weights = tuple(weights or [1] * count)
    if len(weights) != count:
        given, files = amount(len(weights), "weight"), amount(count, "score file")
        raise PytsnError(f"{given} for {files}; --score_weights takes one for each file")
    if not all(math.isfinite(weight) for weight in weights):
        raise PytsnError(f"score weights {list(weights)} are not all finite numbers")
    return weights

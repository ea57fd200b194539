"""Aggregates the scores of a video's frames and crops to one score per class, and fuses several streams.

Source: the original's ``pyActionRecog/utils/video_funcs.py``. Scores are float arrays (T, C, K): T frames (ticks),
C crops (10), K classes, before any softmax. Sums keep the array's precision and NumPy's order, as in the original.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from converter.errors import PytsnError
from pytsn.scores.windows import (
    OVERLAP,
    SPANS,
    integrate_windows,
    parse_parameters,
    second_step_windows,
    snippet_step_windows,
    top_mean,
)

#: how to merge the crops of a frame: (T, C, K) -> (T, K)
CROP_AGGREGATIONS: dict[str, Callable[..., np.ndarray]] = {"mean": np.mean, "max": np.max}


def softmax(scores: np.ndarray, temperature: float = 1) -> np.ndarray:
    """exp(temperature * s) / sum over the last axis; the maximum is subtracted first. Same shape and dtype."""
    powers = np.exp((scores - scores.max(axis=-1, keepdims=True)) * temperature)
    return powers / powers.sum(axis=-1, keepdims=True)


def default_aggregation(scores: np.ndarray, normalization: bool = True, crop_agg: str = "mean") -> np.ndarray:
    """Crops by mean or maximum, then the mean over frames, then (``normalization``) softmax: (T, C, K) -> (K,)."""
    return _normalized(_merge_crops(scores, crop_agg).mean(axis=0), normalization)


def top_k_aggregation(scores: np.ndarray, k: int, normalization: bool = True, crop_agg: str = "mean") -> np.ndarray:
    """Mean of the k largest frame scores of each class (all of them when T < k): (T, C, K) -> (K,).

    Raises PytsnError when k is below 1.
    """
    if k < 1:
        raise PytsnError(f"top-k aggregation takes k of at least 1, not {k}")
    return _normalized(top_mean(_merge_crops(scores, crop_agg), k), normalization)


def sliding_window_aggregation(
    scores: np.ndarray,
    spans: Sequence[float] = SPANS,
    overlap: float = OVERLAP,
    norm: bool = True,
    fps: int = 1,
) -> np.ndarray:
    """Multi-scale windows for untrimmed video, as released (ActivityNet 2016): (T, C, K) -> (K,).

    Steps: the maximum over the crops; for each span (seconds), windows of span * fps frames that start every
    ceil(span * fps * (1 - overlap)) frames and end at the end of the video at the latest; the maximum inside each
    window; the mean of the best max(15, windows // 4) windows of each class; the mean over the spans; softmax if
    ``norm``.

    Raises PytsnError when a window would be empty or the windows would not advance.
    """
    frames = _merge_crops(scores, "max")
    lengths = [snippet_step_windows(len(frames), seconds, overlap, fps) for seconds in spans]
    return _normalized(integrate_windows(frames, lengths), norm)


def multiscale_aggregation(
    scores: np.ndarray,
    spans: Sequence[Fraction | int] = SPANS,
    overlap: Fraction = Fraction(1, 5),
    normalization: bool = True,
    fps: Fraction | int = 1,
    crop_agg: str = "mean",
) -> np.ndarray:
    """Multi-scale temporal window integration of the TPAMI paper (arXiv 1705.02953): (T, C, K) -> (K,).

    Crops are merged by mean or maximum. Snippet i lies at i / fps seconds. For each length l of ``spans`` (seconds),
    windows start every (1 - overlap) * l seconds; the rest is as in ``sliding_window_aggregation``. Unlike there, steps
    are not rounded up to whole snippets, and crops may be averaged.

    Raises PytsnError when a window would be empty or the windows would not advance.
    """
    frames = _merge_crops(scores, crop_agg)
    lengths = [second_step_windows(len(frames), seconds, overlap, fps) for seconds in spans]
    return _normalized(integrate_windows(frames, lengths), normalization)


def fusion(
    major_score: np.ndarray, other_scores: Sequence[np.ndarray], fusion_weights: Sequence[float], norm: bool = True
) -> np.ndarray:
    """major_score + sum of weight * other score, then softmax over the last axis if ``norm``. Leaves the inputs
    unchanged (the original adds into ``major_score``).

    Raises PytsnError when the numbers of weights and other scores differ, or shapes differ.
    """
    if len(other_scores) != len(fusion_weights):
        raise PytsnError(f"{len(fusion_weights)} fusion weights for {len(other_scores)} further streams")
    fused = np.array(major_score)
    for score, weight in zip(other_scores, fusion_weights, strict=True):
        if np.shape(score) != fused.shape:
            raise PytsnError(f"scores of shape {np.shape(score)} cannot be added to scores of shape {fused.shape}")
        fused = fused + score * weight
    return _normalized(fused, norm)


@dataclass(frozen=True)
class Aggregation:
    """An aggregation named on a command line: call it with scores (T, C, K) for the video's (K,).

    fps: snippets per second that its windows assume; None for aggregations without windows. always_max: it takes the
    maximum over the crops whatever ``crop_agg`` is.
    """

    text: str
    function: Callable[[np.ndarray, bool, str], np.ndarray]
    fps: Fraction | None = None
    always_max: bool = False

    def __call__(self, scores: np.ndarray, normalization: bool = True, crop_agg: str = "mean") -> np.ndarray:
        """Scores float (T, C, K) -> (K,), through softmax when ``normalization``."""
        return self.function(scores, normalization, crop_agg)


def parse_aggregation(text: str, snippet_rate: Fraction | int = 1) -> Aggregation:
    """The aggregation named on a command line: ``mean``, ``topk:K``, ``window``, ``anet2016`` or ``multiscale``.

    ``window`` is ``sliding_window_aggregation``, ``anet2016`` the same with the parameters of the ActivityNet 2016
    entry (its defaults, one snippet per second), ``multiscale`` is ``multiscale_aggregation``. window and multiscale
    take parameters: ``multiscale:fps=2,overlap=0.5,spans=1+2+4``; fps defaults to ``snippet_rate``.

    Raises PytsnError for any other text, and for parameters that give empty windows or windows that do not advance.
    """
    name, colon, rest = text.partition(":")
    if text == "mean":
        return Aggregation(text, default_aggregation)
    if name == "topk" and re.fullmatch(r"0*[1-9]\d{0,8}", rest):
        k = int(rest)
        return Aggregation(text, lambda scores, norm, crop_agg: top_k_aggregation(scores, k, norm, crop_agg))
    if text == "anet2016":
        return _window_aggregation(text, {"fps": Fraction(1)})
    parameters = (
        {"fps": Fraction(snippet_rate), **parse_parameters(f"aggregation '{text}'", rest)} if name in _WINDOWED else {}
    )
    if not parameters or (colon and not rest):
        raise PytsnError(
            f"aggregation '{text}' is not known; there are mean, topk:K (topk:3, say), window, anet2016 and "
            "multiscale; window and multiscale take parameters (multiscale:fps=2,overlap=0.2,spans=1+2+4+8+16)"
        )
    return _WINDOWED[name](text, parameters)


def _window_aggregation(text: str, parameters: dict) -> Aggregation:
    fps = parameters["fps"]
    if fps.denominator != 1:
        raise PytsnError(f"aggregation '{text}' takes a whole number of snippets a second, not {float(fps):g}")
    settings: dict[str, Any] = {
        "spans": tuple(float(span) for span in parameters.get("spans", SPANS)),
        "overlap": float(parameters.get("overlap", OVERLAP)),
        "fps": int(fps),
    }
    return _tried(text, lambda scores, norm, _: sliding_window_aggregation(scores, norm=norm, **settings), fps, True)


def _multiscale_aggregation(text: str, parameters: dict) -> Aggregation:
    def function(scores: np.ndarray, norm: bool, crop_agg: str) -> np.ndarray:
        return multiscale_aggregation(scores, normalization=norm, crop_agg=crop_agg, **parameters)

    return _tried(text, function, parameters["fps"])


_WINDOWED = {"window": _window_aggregation, "multiscale": _multiscale_aggregation}


def _tried(text: str, function: Callable, fps: Fraction, always_max: bool = False) -> Aggregation:
    """The aggregation, after a trial run: bad parameters are reported before videos are scored, not after."""
    try:
        function(np.zeros((1, 1, 1)), False, "mean")
    except PytsnError as error:
        raise PytsnError(f"aggregation '{text}': {error}") from None
    return Aggregation(text, function, fps, always_max)


def _merge_crops(scores: np.ndarray, crop_agg: str) -> np.ndarray:
    if crop_agg not in CROP_AGGREGATIONS:
        raise PytsnError(f"crop aggregation '{crop_agg}' is not known; there are {', '.join(CROP_AGGREGATIONS)}")
    return CROP_AGGREGATIONS[crop_agg](scores, axis=1)  # (T, C, K) -> (T, K)


def _normalized(scores: np.ndarray, normalization: bool) -> np.ndarray:
    return softmax(scores) if normalization else scores

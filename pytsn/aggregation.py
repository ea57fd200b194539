"""From the scores of a video's frames and crops to one score per class, and from several streams to one.

Facts of the original ``pyActionRecog/utils/video_funcs.py``. Scores are float arrays (T, C, K): T frames (ticks),
C crops (10), K classes, before any softmax. Sums keep the array's own precision and NumPy's order, as the
original's do.
"""

from collections.abc import Callable, Sequence

import numpy as np

from converter.errors import PytsnError

#: how the crops of one frame become one: (T, C, K) -> (T, K)
CROP_AGGREGATIONS = {"mean": np.mean, "max": np.max}


def softmax(scores: np.ndarray, temperature: float = 1) -> np.ndarray:
    """exp(temperature * s) / sum over the last axis, computed from differences to the maximum. Same shape and dtype."""
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
    return _normalized(_best(_merge_crops(scores, crop_agg), k), normalization)


def sliding_window_aggregation(
    scores: np.ndarray,
    spans: Sequence[int] = (1, 2, 4, 8, 16),
    overlap: float = 0.2,
    norm: bool = True,
    fps: int = 1,
) -> np.ndarray:
    """Multi-scale windows for untrimmed video (ActivityNet 2016): (T, C, K) -> (K,).

    The maximum over the crops; for each span (seconds) windows of span * fps frames that start every
    ceil(span * fps * (1 - overlap)) frames, the last ones cut off by the end of the video; the maximum inside a
    window; the mean of the best max(15, windows // 4) windows of each class; the mean over the spans; then
    (``norm``) softmax.

    Raises PytsnError when a window would be empty or the windows would not advance.
    """
    frames = scores.max(axis=1)  # (T, C, K) -> (T, K)
    pooled = []
    for seconds in spans:
        length = seconds * fps
        step = int(np.ceil(length * (1 - overlap)))
        if length < 1 or step < 1:
            raise PytsnError(f"windows of {seconds} s at {fps} frames a second and overlap {overlap} do not advance")
        windows = np.array([frames[start : start + length].max(axis=0) for start in range(0, len(frames), step)])
        pooled.append(_best(windows, max(15, len(windows) // 4)))
    return _normalized(np.mean(pooled, axis=0), norm)


def fusion(
    major_score: np.ndarray, other_scores: Sequence[np.ndarray], fusion_weights: Sequence[float], norm: bool = True
) -> np.ndarray:
    """major_score + sum of weight * other score, then (``norm``) softmax over the last axis. The inputs are not changed
    (the original adds into ``major_score``).

    Raises PytsnError when there are not as many weights as other scores, or shapes differ.
    """
    if len(other_scores) != len(fusion_weights):
        raise PytsnError(f"{len(fusion_weights)} fusion weights for {len(other_scores)} further streams")
    fused = np.array(major_score)
    for score, weight in zip(other_scores, fusion_weights, strict=True):
        if np.shape(score) != fused.shape:
            raise PytsnError(f"scores of shape {np.shape(score)} cannot be added to scores of shape {fused.shape}")
        fused = fused + score * weight
    return _normalized(fused, norm)


def parse_aggregation(text: str) -> Callable[..., np.ndarray]:
    """The aggregation named on a command line: ``mean``, ``topk:K`` or ``window``.

    Returns f(scores, normalization=True, crop_agg="mean") -> (K,); ``window`` always takes the maximum over the crops.
    Raises PytsnError for any other text.
    """
    name, _, number = text.partition(":")
    if text == "mean":
        return default_aggregation
    if text == "window":
        return _windows
    if name == "topk" and number.isdecimal() and int(number) >= 1:
        k = int(number)
        return lambda scores, normalization=True, crop_agg="mean": top_k_aggregation(scores, k, normalization, crop_agg)
    raise PytsnError(f"aggregation '{text}' is not known; there are mean, topk:K (topk:3, say) and window")


def _windows(scores: np.ndarray, normalization: bool = True, crop_agg: str = "mean") -> np.ndarray:
    return sliding_window_aggregation(scores, norm=normalization)


def _merge_crops(scores: np.ndarray, crop_agg: str) -> np.ndarray:
    if crop_agg not in CROP_AGGREGATIONS:
        raise PytsnError(f"crop aggregation '{crop_agg}' is not known; there are {', '.join(CROP_AGGREGATIONS)}")
    return CROP_AGGREGATIONS[crop_agg](scores, axis=1)  # (T, C, K) -> (T, K)


def _best(scores: np.ndarray, k: int) -> np.ndarray:
    return np.sort(scores, axis=0)[-k:].mean(axis=0)  # (T, K) -> (K,)


def _normalized(scores: np.ndarray, normalization: bool) -> np.ndarray:
    return softmax(scores) if normalization else scores

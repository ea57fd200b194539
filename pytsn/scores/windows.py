"""Temporal windows over the snippets of an untrimmed video: their positions, and one score vector from all of them.

Letters: T snippets in order of time, K classes. A window is a pair (start, stop) of snippet indices from 0, stop
excluded. There are two layouts: in the released code steps are whole snippets, in the paper (TPAMI, arXiv 1705.02953)
they are seconds.
"""

import math
import re
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from converter.errors import PytsnError

#: window lengths in seconds, in the paper and in the released code
SPANS = (1, 2, 4, 8, 16)
#: share of a window that the next one overlaps: steps are 0.8 of its length
OVERLAP = 0.2
#: this many windows are averaged, or a quarter of all windows if that is more
LEAST_BEST = 15

Windows = list[tuple[int, int]]


def snippet_step_windows(count: int, seconds: float, overlap: float = OVERLAP, fps: int = 1) -> Windows:
    """The released code's windows over ``count`` snippets: seconds * fps snippets long, one every
    ceil(length * (1 - overlap)) snippets from 0 to the last snippet, cut off at the end of the video.

    Source: ``sliding_window_aggregation_func`` (pyActionRecog/utils/video_funcs.py, the same in anet2016-cuhk). With
    overlap 0.2 and one snippet per second the steps are 1, 2, 4, 7, 13 for 1, 2, 4, 8, 16 s. Raises PytsnError when
    a window would be empty or not a whole number of snippets, or the windows would not advance.
    """
    length = seconds * fps
    step = int(np.ceil(length * (1 - overlap)))
    _require_snippet(length, seconds, fps)
    if step < 1:
        raise PytsnError(f"windows of {seconds:g} s with overlap {overlap:g} do not advance")
    if length != int(length):
        snippets = "snippet" if fps == 1 else "snippets"
        raise PytsnError(f"windows of {seconds:g} s at {fps} {snippets} a second are no whole number of snippets")
    return [(start, min(start + int(length), count)) for start in range(0, count, step)]


def second_step_windows(
    count: int, seconds: Fraction | int, overlap: Fraction = Fraction(1, 5), fps: Fraction | int = 1
) -> Windows:
    """The paper's windows over ``count`` snippets, snippet i at i / fps seconds: [s, s + seconds) for
    s = 0, step, 2 step, ... with step = (1 - overlap) * seconds, as long as s lies before the end, count / fps.

    Steps are exact (0.8, 1.6, 2.4 s, ...), so two short windows may hold the same snippets. A window without a snippet
    (between two snippets, or past the last one) is left out. Raises PytsnError when the windows would be shorter than a
    snippet or would not advance.
    """
    length, step = Fraction(seconds) * Fraction(fps), (1 - Fraction(overlap)) * Fraction(seconds) * Fraction(fps)
    _require_snippet(length, seconds, fps)
    if not 0 < step <= length:
        raise PytsnError(f"windows of {float(seconds):g} s with overlap {float(overlap):g} do not advance")
    windows = []
    for index in range(math.ceil(count / step)):
        start, stop = math.ceil(index * step), min(math.ceil(index * step + length), count)
        if start < stop:
            windows.append((start, stop))
    return windows


def top_mean(scores: np.ndarray, k: int) -> np.ndarray:
    """Mean of the k largest values of each class, or of all when there are fewer: (T, K) -> (K,)."""
    return np.sort(scores, axis=0)[-k:].mean(axis=0)


def integrate_windows(scores: np.ndarray, lengths: Sequence[Windows]) -> np.ndarray:
    """Maximum inside each window, mean of the best max(15, windows // 4) windows of each class, mean over the window
    lengths: (T, K) -> (K,). ``lengths`` holds the windows of each length; fewer than 15 are all averaged."""
    pooled = []
    for windows in lengths:
        maxima = np.array([scores[start:stop].max(axis=0) for start, stop in windows])  # (T, K) -> (windows, K)
        pooled.append(top_mean(maxima, max(LEAST_BEST, len(windows) // 4)))
    return np.mean(pooled, axis=0)


def parse_parameters(text: str, parameters: str) -> dict[str, Fraction | tuple[Fraction, ...]]:
    """``fps=2,overlap=0.5,spans=1+2`` as exact numbers by name, spans as a tuple; empty when nothing is given.

    ``text`` names the aggregation in messages. Raises PytsnError for other names, for a name given twice, and for
    malformed or out-of-range numbers.
    """
    found: dict = {}
    for item in parameters.split(",") if parameters else ():
        key, _, value = item.partition("=")
        if key not in ("fps", "overlap", "spans") or key in found:
            raise PytsnError(f"{text}: '{item}' is none of fps=N, overlap=SHARE and spans=A+B+..., each given once")
        if key == "spans":
            found[key] = tuple(_number(text, part) for part in value.split("+"))
        else:
            found[key] = _number(text, value)
    if found.get("overlap", 0) > Fraction(99, 100):
        raise PytsnError(f"{text}: the overlap is a share of the window, from 0 to 0.99")
    return found


def _require_snippet(length: float | Fraction, seconds: float | Fraction, fps: float | Fraction) -> None:
    if length < 1:
        raise PytsnError(
            f"windows of {float(seconds):g} s hold less than one snippet at {float(fps):g} a second; leave out "
            "the short ones by spans=..."
        )


def _number(text: str, value: str) -> Fraction:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value):  # Fraction("1e999999999") would take all memory
        raise PytsnError(f"{text}: '{value}' is not a number such as 2 or 0.5")
    return Fraction(value)

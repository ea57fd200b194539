"""Compares two runs of a net, blob by blob."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from converter.errors import PytsnError

#: fraction of a blob's largest magnitude. Caffe with one BLAS thread and with two differs by 2.4e-6; another order of
#: summation through BN-Inception's 69 convolutions gives about three times that; mistakes show in the third digit.
TOLERANCE = 3e-5


@dataclass(frozen=True)
class BlobDifference:
    """One blob of two runs. ``scale``: the reference's largest magnitude; ``max_rel`` = ``max_abs`` / ``scale``."""

    blob: str
    shape: tuple[int, ...]
    max_abs: float
    max_rel: float
    scale: float
    ok: bool


def compare_blobs(
    reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], tolerance: float = TOLERANCE
) -> list[BlobDifference]:
    """The difference of every blob of ``reference``, in its order; ok: at most ``tolerance`` of the largest magnitude.

    Shapes may differ by axes of length 1. NaN and infinity are ok only if both runs have the same. Raises PytsnError
    for a blob that the candidate lacks or has in another shape.
    """
    return [_compare(blob, values, candidate, tolerance) for blob, values in reference.items()]


def _compare(blob: str, reference: np.ndarray, blobs: Mapping[str, np.ndarray], tolerance: float) -> BlobDifference:
    if blob not in blobs:
        raise PytsnError(f"blob '{blob}' is in one of the runs only")
    candidate = np.asarray(blobs[blob])
    if [dim for dim in candidate.shape if dim != 1] != [dim for dim in reference.shape if dim != 1]:
        raise PytsnError(f"blob '{blob}': shape {candidate.shape} against {reference.shape} in the reference")
    wanted = np.asarray(reference, np.float64).reshape(candidate.shape)
    with np.errstate(invalid="ignore"):
        difference = np.abs(candidate - wanted)
    same = (candidate == wanted) | (np.isnan(candidate) & np.isnan(wanted))  # infinities and NaNs too
    difference = np.where(same, 0.0, difference)
    max_abs, finite = float(difference.max(initial=0)), wanted[np.isfinite(wanted)]
    scale = float(np.abs(finite).max(initial=0))
    max_rel = 0.0 if max_abs == 0 else max_abs / scale if scale else float("inf")
    return BlobDifference(blob, tuple(reference.shape), max_abs, max_rel, scale, bool(max_rel <= tolerance))


def first_beyond(differences: Iterable[BlobDifference]) -> BlobDifference | None:
    """The first blob beyond tolerance, where to look for the cause."""
    return next((difference for difference in differences if not difference.ok), None)

"""Warped flow: removes the camera's motion, which leaves the motion of objects (Wang and Schmid 2013)."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_images import load_cv2
from pytsn.flow.methods import FlowFunction
from pytsn.flow.warp.points import Keypoints, find_keypoints, follow_corners, match_keypoints

#: the original's values: RANSAC's distance in pixels, and the counts above which a homography is accepted
RANSAC_DISTANCE, MIN_MATCHES, MIN_INLIERS = 1.0, 50, 25
#: pixels at the second frame's border that are not trusted after warping
BORDER = 5


@dataclass(frozen=True)
class WarpResult:
    """Flow of one pair without the camera's motion.

    flow: float32 (H, W, 2), pixels, x then y, from frame 0 to the warped frame 1; first_flow: the same shape, before
    warping. homography: float64 (3, 3), pixels (x, y, 1) of frame 0 -> frame 1. matches: point pairs given to RANSAC;
    inliers: those within 1 px of the homography. ok: a good enough homography was found and applied; else flow is
    first_flow and homography the identity.
    """

    flow: np.ndarray
    first_flow: np.ndarray
    homography: np.ndarray
    matches: int
    inliers: int
    ok: bool


@dataclass(frozen=True)
class CameraMotion:
    """homography: float64 (3, 3), frame 0 -> frame 1, the identity if not ``ok``; the counts as in WarpResult."""

    homography: np.ndarray
    matches: int
    inliers: int
    ok: bool


def warped_flow(
    frame0: np.ndarray, frame1: np.ndarray, flow_fn: FlowFunction, flow: np.ndarray | None = None
) -> WarpResult:
    """Flow between two frames, uint8 (H, W, 3) BGR or (H, W) grey, without the camera's motion.

    Points matched between the frames and corners moved by the flow give a homography (RANSAC, 1 px; kept with more than
    50 matches and 25 inliers); frame 1 is warped back by it and the flow is computed again. ``flow``: the plain flow,
    float32 (H, W, 2), if already known. The same frames give the same result in every run. Frames without features are
    no error: their flow is unchanged. Raises PytsnError for frames of another format or of two sizes, and for a flow
    that does not fit. Source: dense_flow, dense_warp_flow_gpu.cpp. Differences: SIFT instead of SURF; without a
    homography the original computes the flow again with only the border of ``warp_back`` replaced, here the flow is
    unchanged; see also ``follow_corners`` and ``pair_keypoints``.
    """
    flows = None if flow is None else np.asarray(flow)[None]
    return warped_flows(np.asarray(frame0)[None], np.asarray(frame1)[None], flow_fn, flows)[0]


def warped_flows(
    frames0: np.ndarray, frames1: np.ndarray, flow_fn: FlowFunction, flows: np.ndarray | None = None
) -> list[WarpResult]:
    """``warped_flow`` for B pairs at once, frames uint8 (B, H, W, 3) BGR or (B, H, W) grey; B results.

    Calls ``flow_fn`` at most twice: with all pairs, then with those that have a homography. In between, pairs are
    processed in as many threads as OpenCV may use (cv2.setNumThreads); their number does not change the results.
    """
    grays0, grays1 = _gray(frames0, "frames0"), _gray(frames1, "frames1")
    if grays0.shape != grays1.shape:
        raise PytsnError(f"warped flow: frames of {grays0.shape} and {grays1.shape} (pairs, height, width) do not pair")
    if not len(grays0):
        return []
    first = flow_fn(grays0, grays1) if flows is None else flows
    first = _checked_flow(first, grays0.shape)
    motions = _in_threads(camera_motion, grays0, pair_keypoints(grays0, grays1), first)
    second = first.copy()
    moved = [index for index, motion in enumerate(motions) if motion.ok]
    if moved:
        back = [warp_back(grays0[index], grays1[index], motions[index].homography) for index in moved]
        again = flow_fn(grays0[moved], np.stack(back))
        second[moved] = _checked_flow(again, (len(moved), *grays0.shape[1:]))
    return [WarpResult(second[i], first[i], m.homography, m.matches, m.inliers, m.ok) for i, m in enumerate(motions)]


def pair_keypoints(grays0: np.ndarray, grays1: np.ndarray) -> list[tuple[Keypoints, Keypoints]]:
    """Keypoints of each pair of uint8 (B, H, W) frames; a frame shared by two successive pairs is processed once.

    Each pair uses the keypoints of its own two frames. dense_flow uses those of the video's first frame for all pairs,
    a bug: its later pairs have useful points from the flow only.
    """
    chained = [bool(index) and np.array_equal(gray, grays1[index - 1]) for index, gray in enumerate(grays0)]
    starts = iter(_in_threads(find_keypoints, [gray for gray, known in zip(grays0, chained, strict=True) if not known]))
    ends = _in_threads(find_keypoints, grays1)
    return [(ends[index - 1] if known else next(starts), ends[index]) for index, known in enumerate(chained)]


def _in_threads(work: Callable, *items: Sequence | np.ndarray) -> list:
    """``work`` of each item, in order. OpenCV releases the interpreter lock while it computes."""
    threads = min(len(items[0]), load_cv2().getNumThreads())
    if threads < 2:
        return list(map(work, *items))
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, *items))


def camera_motion(gray0: np.ndarray, keypoints: tuple[Keypoints, Keypoints], flow: np.ndarray) -> CameraMotion:
    """The homography of the camera between two frames, or the identity if it cannot be found.

    gray0: uint8 (H, W); keypoints: of frame 0 and of frame 1; flow: float32 (H, W, 2) between them.
    """
    corners = follow_corners(gray0, flow)
    matched = match_keypoints(*keypoints)
    start, end = (np.concatenate(points) for points in zip(corners, matched, strict=True))
    homography, inliers = (None, 0) if len(start) <= MIN_MATCHES else _ransac(start, end)
    if homography is None or inliers <= MIN_INLIERS:
        return CameraMotion(np.eye(3), len(start), inliers, False)
    return CameraMotion(homography, len(start), inliers, True)


def _ransac(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray | None, int]:
    """Homography float64 (3, 3) start -> end and its inliers; None if there is no invertible one.

    cv2's RANSAC creates its own generator with a fixed seed at each call, so nothing that ran before, including
    cv2.setRNGSeed, changes the result (tested in tests/flow/test_warp.py).
    """
    cv2 = load_cv2()
    homography, kept = cv2.findHomography(start, end, cv2.RANSAC, RANSAC_DISTANCE)
    if homography is None or not np.isfinite(homography).all() or abs(np.linalg.det(homography)) < 1e-9:
        return None, 0
    return homography, int(np.count_nonzero(kept))


def warp_back(gray0: np.ndarray, gray1: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """Frame 1 seen from frame 0's camera: uint8 (H, W), bilinear.

    Pixels from outside frame 1, or from its outermost 5 pixels, are taken from frame 0: no motion there. Source:
    warp_flow.h (MyWarpPerspective).
    """
    cv2 = load_cv2()
    height, width = gray0.shape
    warped = cv2.warpPerspective(gray1, homography, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    y, x = np.mgrid[:height, :width]
    to_x, to_y, depth = np.tensordot(homography, np.stack([x, y, np.ones_like(x)]), axes=1)  # (3, 3) x (3, H, W)
    with np.errstate(divide="ignore", invalid="ignore"):
        to_x, to_y = to_x / depth, to_y / depth
    inside = (to_x > BORDER) & (to_x < width - 1 - BORDER) & (to_y > BORDER) & (to_y < height - 1 - BORDER)
    return np.where(inside, warped, gray0)


def _gray(frames: np.ndarray, name: str) -> np.ndarray:
    """uint8 (B, H, W, 3) BGR or (B, H, W) -> (B, H, W)."""
    frames = np.asarray(frames)
    colour = frames.ndim == 4 and frames.shape[-1] == 3
    if frames.dtype != np.uint8 or not (colour or frames.ndim == 3) or 0 in frames.shape[1:]:
        raise PytsnError(
            f"warped flow: {name} must be uint8 (..., H, W, 3) BGR or (..., H, W), found {frames.dtype} {frames.shape}"
        )
    if not colour:
        return frames
    cv2 = load_cv2()
    grays = [cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in frames]
    return np.stack(grays) if grays else np.zeros(frames.shape[:3], np.uint8)


def _checked_flow(flow: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if np.shape(flow) != (*shape, 2):
        raise PytsnError(f"warped flow: flow of shape {(*shape, 2)} expected for these frames, found {np.shape(flow)}")
    return np.asarray(flow, np.float32)

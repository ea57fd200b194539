"""Corresponding points in two frames: matched keypoints, and corners moved by the flow."""

from typing import NamedTuple

import numpy as np

from pytsn.data.frame_images import load_cv2

#: a keypoint may move less than this many pixels in x and in y (the original's matching window)
MATCH_WINDOW = 25.0
#: followed corners of the first frame: maximum number, fraction of the best quality, minimum distance
MAX_CORNERS, CORNER_QUALITY, CORNER_DISTANCE = 1000, 0.001, 3
#: only the strongest keypoints of a frame are kept, so that a 4K frame does not cost gigabytes of candidate pairs
MAX_KEYPOINTS = 2000


class Keypoints(NamedTuple):
    """points: float32 (N, 2), x then y; descriptors: float32 (N, 128). N may be 0."""

    points: np.ndarray
    descriptors: np.ndarray


def find_keypoints(gray: np.ndarray) -> Keypoints:
    """SIFT keypoints of a uint8 (H, W) frame, the strongest 2000; none in a uniform frame.

    The original uses SURF (Hessian threshold 200), which is patented and in no OpenCV wheel; SIFT is in all of them.
    """
    detector = load_cv2().SIFT_create(nfeatures=MAX_KEYPOINTS)
    found, descriptors = detector.detectAndCompute(np.ascontiguousarray(gray), None)
    if not found or descriptors is None:
        return Keypoints(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    return Keypoints(np.array([keypoint.pt for keypoint in found], np.float32), descriptors)


def match_keypoints(first: Keypoints, second: Keypoints) -> tuple[np.ndarray, np.ndarray]:
    """Matches each keypoint of the second frame with the most similar one of the first inside the window.

    Returns their positions in the first and in the second frame: float32 (M, 2) each. No ratio test and no check in the
    other direction: RANSAC rejects wrong matches. Source: dense_flow, include/warp_flow.h (ComputeMatch).
    """
    if not len(first.points) or not len(second.points):
        return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
    cv2 = load_cv2()
    near = np.ones((len(second.points), len(first.points)), bool)
    for axis in (0, 1):
        near &= np.abs(second.points[:, None, axis] - first.points[None, :, axis]) < MATCH_WINDOW
    matches = cv2.BFMatcher(cv2.NORM_L2).match(second.descriptors, first.descriptors, near.astype(np.uint8))
    pairs = np.array([(match.trainIdx, match.queryIdx) for match in matches], int).reshape(-1, 2)
    return first.points[pairs[:, 0]], second.points[pairs[:, 1]]


def follow_corners(gray: np.ndarray, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the first frame, uint8 (H, W), and their positions after its flow, float32 (H, W, 2).

    Returns float32 (M, 2) twice, x then y; corners whose flow is not finite are left out. The corners are pixels that
    can be tracked well (Shi and Tomasi). Source: warp_flow.h (MatchFromFlow), as intended: dense_flow looks for corners
    in the second frame, and takes y from column y of the flow (``f_y[y]``), which are bugs.
    """
    corners = load_cv2().goodFeaturesToTrack(np.ascontiguousarray(gray), MAX_CORNERS, CORNER_QUALITY, CORNER_DISTANCE)
    if corners is None or not len(corners):
        return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
    start = np.rint(corners.reshape(-1, 2)).astype(int)
    moved = start + flow[start[:, 1], start[:, 0]]
    kept = np.isfinite(moved).all(axis=1)
    return start[kept].astype(np.float32), moved[kept].astype(np.float32)

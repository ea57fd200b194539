"""Warped flow: homographies that are known, thresholds, a moving object before a moving camera."""

import cv2
import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.flow.methods import make_flow
from pytsn.flow.warp import camera_motion as warp
from pytsn.flow.warp.camera_motion import camera_motion, pair_keypoints, warp_back, warped_flow, warped_flows
from pytsn.flow.warp.points import find_keypoints, follow_corners, match_keypoints

HEIGHT, WIDTH = 120, 160
OBJECT_CENTRE, OBJECT_RADIUS, OBJECT_MOTION = np.array([90.0, 55.0]), 22.0, np.array([2.0, -1.5])


def dis_flow(grays0: np.ndarray, grays1: np.ndarray) -> np.ndarray:
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.stack([dis.calc(gray0, gray1, None) for gray0, gray1 in zip(grays0, grays1, strict=True)])


def no_flow(grays0: np.ndarray, grays1: np.ndarray) -> np.ndarray:
    return np.zeros((*grays0.shape, 2), np.float32)


def texture(points: np.ndarray, seed: int) -> np.ndarray:
    """Brightness 20 to 235 at world points (..., 2): 40 waves of 6 to 40 pixels, never the same twice."""
    random = np.random.default_rng(seed)
    wavelength, turn, phase = random.uniform(6, 40, 40), random.uniform(0, np.pi, 40), random.uniform(0, 2 * np.pi, 40)
    across = points[..., :1] * np.cos(turn) + points[..., 1:] * np.sin(turn)
    return 127.5 + 107.5 * np.tanh(np.sin(2 * np.pi * across / wavelength + phase).sum(-1) / 5)


def apply(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (..., 2) through a (3, 3) homography."""
    moved = np.concatenate([points, np.ones_like(points[..., :1])], -1) @ homography.T
    return moved[..., :2] / moved[..., 2:]


def pixels(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y], -1).astype(float)


def scene(camera: np.ndarray, object_motion: np.ndarray | None = None) -> np.ndarray:
    """Frame (H, W) uint8 as seen by a camera that takes frame 0's points to ``camera`` points; object moved or absent.

    Each pixel is computed from the formula, so no resampling blurs anything.
    """
    points = apply(np.linalg.inv(camera), pixels())
    values = texture(points, 1)
    if object_motion is not None:
        own = points - object_motion
        on_object = np.linalg.norm(own - OBJECT_CENTRE, axis=-1) < OBJECT_RADIUS
        values = np.where(on_object, texture(own, 2), values)
    return np.rint(values).astype(np.uint8)


def pan_and_zoom(zoom: float = 1.04, pan: tuple[float, float] = (4.0, -2.5)) -> np.ndarray:
    """Zoom about the middle of the frame, then a pan."""
    centre = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    shift = centre - zoom * centre + pan
    return np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]], [0, 0, 1]])


CAMERAS = {
    "pan": pan_and_zoom(1.0),
    "pan and zoom": pan_and_zoom(),
    "zoom out": pan_and_zoom(0.97, (-1.5, 3.0)),
    "perspective": pan_and_zoom() @ np.array([[1, 0.01, 0], [-0.01, 1, 0], [1e-4, -5e-5, 1]]),
}


def distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far apart two homographies take each pixel of the frame: (H, W), pixels."""
    return np.linalg.norm(apply(first, pixels()) - apply(second, pixels()), axis=-1)


def regions(camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks (H, W): background and object of frame 0, 4 px and more from the object's edge, seen in both frames."""
    to_object = np.linalg.norm(pixels() - OBJECT_CENTRE, axis=-1)
    to_moved = np.linalg.norm(pixels() - OBJECT_CENTRE - OBJECT_MOTION, axis=-1)
    seen = apply(camera, pixels())
    inner = (seen > 12).all(-1) & (seen < np.array([WIDTH, HEIGHT]) - 13).all(-1)
    inner &= (pixels() > 12).all(-1) & (pixels() < np.array([WIDTH, HEIGHT]) - 13).all(-1)
    return inner & (np.minimum(to_object, to_moved) > OBJECT_RADIUS + 6), to_object < OBJECT_RADIUS - 6


@pytest.mark.parametrize("name", CAMERAS)
def test_homography_of_a_known_camera(name):
    # Half the matches are off by 0.03 to 0.09 px and more (SIFT on small blobs, DIS), systematically towards the
    # border: 0.1 px over the frame, 0.3 px in its worst corner, where the homography is extrapolated
    camera = CAMERAS[name]
    result = warped_flow(scene(np.eye(3)), scene(camera), dis_flow)
    assert result.ok
    assert result.matches >= result.inliers > 200
    assert distances(result.homography, camera).mean() < 0.1
    assert distances(result.homography, camera).max() < 0.3


@pytest.mark.parametrize("name", CAMERAS)
def test_keypoints_alone_find_the_camera(name):
    camera = CAMERAS[name]
    frame0, frame1 = scene(np.eye(3)), scene(camera)
    first, second = find_keypoints(frame0), find_keypoints(frame1)
    start, end = match_keypoints(first, second)
    assert len(start) > 100
    wrong = np.linalg.norm(apply(camera, start) - end, axis=-1) > 1
    assert wrong.mean() < 0.35  # no ratio test, as in the original


@pytest.mark.parametrize("name", CAMERAS)
def test_background_stands_still_and_the_object_moves_on(name):
    camera = CAMERAS[name]
    background, inside = regions(camera)
    result = warped_flow(scene(np.eye(3), np.zeros(2)), scene(camera, OBJECT_MOTION), dis_flow)
    assert result.ok
    length = np.linalg.norm(result.flow, axis=-1)
    assert np.linalg.norm(result.first_flow, axis=-1)[background].mean() > 2.0
    assert length[background].mean() < 0.2  # issue 4's bound
    still = dis_flow(scene(np.eye(3), np.zeros(2))[None], scene(np.eye(3), OBJECT_MOTION)[None])[0]
    assert np.abs(result.flow[inside] - still[inside]).mean() < 0.1  # as if the camera had not moved
    assert np.abs(result.flow[inside].mean(0) - OBJECT_MOTION).max() < 0.3  # DIS falls short of 2 px by 0.2 itself


@pytest.mark.parametrize("preset", ["opencv2.4-cuda", "opencv3-cuda", "opencv-cpu"])
@pytest.mark.parametrize("name", ["pan and zoom", "perspective"])
def test_background_stands_still_with_tvl1(name, preset):
    # issue 4: under 0.2 px; TV-L1 itself falls short of the object's 2 px by 0.05 where the camera stands still
    background, inside = regions(CAMERAS[name])
    frames = scene(np.eye(3), np.zeros(2)), scene(CAMERAS[name], OBJECT_MOTION)
    result = warped_flow(*frames, make_flow("tvl1", preset, "cpu"))
    assert result.ok
    assert np.linalg.norm(result.first_flow, axis=-1)[background].mean() > 2.0
    assert np.linalg.norm(result.flow, axis=-1)[background].mean() < 0.1
    assert np.abs(result.flow[inside].mean(0) - OBJECT_MOTION).max() < 0.1


def test_warp_back_undoes_the_camera():
    # bilinear interpolation of waves of 6 px and more: a mean of 1 grey level of 215 off
    camera = CAMERAS["perspective"]
    frame0 = scene(np.eye(3))
    back = warp_back(frame0, scene(camera), camera)
    assert np.abs(back.astype(int) - frame0).mean() < 2
    assert np.abs(scene(camera).astype(int) - frame0).mean() > 40


def test_border_of_the_second_frame_is_the_first_ones():
    # pan of whole pixels: pixel (x, y) comes from (x + 3, y - 2), so every value is known
    frame0, frame1 = np.full((30, 40), 7, np.uint8), pixels(30, 40).sum(-1).astype(np.uint8) + 50
    back = warp_back(frame0, frame1, np.array([[1.0, 0, 3], [0, 1, -2], [0, 0, 1]]))
    expected = frame0.copy()
    for y in range(30):
        for x in range(40):
            if 5 < x + 3 < 34 and 5 < y - 2 < 24:
                expected[y, x] = frame1[y - 2, x + 3]
    np.testing.assert_array_equal(back, expected)


@pytest.mark.parametrize(("matches", "inliers", "kept"), [(50, 50, False), (51, 25, False), (51, 26, True)])
def test_thresholds(monkeypatch, matches, inliers, kept):
    """Kept with more than 50 matches and more than 25 inliers, not with as many. Points that do not fit are thrown
    far apart, so that no other homography gathers as many."""
    random = np.random.default_rng(5)
    camera = CAMERAS["pan and zoom"]
    start = random.uniform(0, 150, (matches, 2)).astype(np.float32)
    end = apply(camera, start)
    end[inliers:] = random.uniform(-4000, 4000, (matches - inliers, 2))
    split = matches // 3
    monkeypatch.setattr(warp, "follow_corners", lambda gray, flow: (start[:split], end[:split].astype(np.float32)))
    monkeypatch.setattr(warp, "match_keypoints", lambda *_: (start[split:], end[split:].astype(np.float32)))
    motion = camera_motion(scene(np.eye(3)), (None, None), np.zeros((HEIGHT, WIDTH, 2), np.float32))
    assert (motion.ok, motion.matches) == (kept, matches)
    assert motion.inliers == (inliers if matches > 50 else 0)
    assert distances(motion.homography, camera if kept else np.eye(3)).max() < 1e-2


def test_matches_stay_in_the_window():
    # the same picture moved by 30 px in x: every true partner is outside the window of 25
    frame0 = scene(np.eye(3))
    start, end = match_keypoints(find_keypoints(frame0), find_keypoints(np.roll(frame0, 30, axis=1)))
    assert len(start)
    assert np.abs(start - end).max() < 25


def test_corners_follow_x_and_y_of_their_own_pixel():
    gray = scene(np.eye(3))
    flow = np.stack([pixels()[..., 0] * 0.1, pixels()[..., 1] * -0.2], -1).astype(np.float32)
    flow[:20] = np.nan
    start, end = follow_corners(gray, flow)
    assert len(start) > 100
    assert start[:, 1].min() >= 20
    np.testing.assert_allclose(end, start * [1.1, 0.8], atol=1e-4)


def test_without_a_homography_the_plain_flow():
    random = np.random.default_rng(3)
    noise = random.integers(0, 256, (2, HEIGHT, WIDTH), dtype=np.uint8)
    result = warped_flow(*noise, lambda a, b: random.normal(0, 5, (len(a), *a.shape[1:], 2)).astype(np.float32))
    assert not result.ok
    assert result.matches > 50
    np.testing.assert_array_equal(result.flow, result.first_flow)
    np.testing.assert_array_equal(result.homography, np.eye(3))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 4), (9, 200), (11, 12), (HEIGHT, WIDTH)])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_nothing_to_see(shape, grey):
    frame = np.full((*shape, 3), grey, np.uint8)
    result = warped_flow(frame, frame, no_flow)
    assert (result.ok, result.matches, result.inliers) == (False, 0, 0)
    assert result.flow.shape == (*shape, 2)


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (7, 5), (16, 16), (13, 170)])
def test_small_noisy_frames(shape):
    frames = np.random.default_rng(1).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    result = warped_flow(frames[0], frames[1], no_flow)
    np.testing.assert_array_equal(result.flow, np.zeros((*shape, 2)))


def test_equal_frames():
    frame = scene(np.eye(3))
    result = warped_flow(frame, frame, dis_flow)
    assert result.ok
    assert result.inliers == result.matches
    assert distances(result.homography, np.eye(3)).max() < 1e-3
    assert np.abs(result.flow).max() < 0.01


def test_points_on_one_line(monkeypatch):
    # no homography can be told from them; whatever RANSAC says, the result is usable
    line = np.stack([np.arange(80), np.full(80, 40)], -1).astype(np.float32)
    monkeypatch.setattr(warp, "follow_corners", lambda gray, flow: (line, line))
    result = warped_flow(scene(np.eye(3)), scene(np.eye(3)), dis_flow)
    assert np.isfinite(result.homography).all()
    assert np.isfinite(result.flow).all()


def test_same_result_whatever_ran_before():
    frames = scene(np.eye(3), np.zeros(2)), scene(CAMERAS["perspective"], OBJECT_MOTION)
    cv2.setRNGSeed(1)
    once = warped_flow(*frames, dis_flow)
    for seed in (2, 77):
        cv2.setRNGSeed(seed)
        cv2.randu(np.zeros(1000, np.float32), 0, 1)
        warped_flow(scene(CAMERAS["pan"]), scene(CAMERAS["zoom out"]), dis_flow)
        again = warped_flow(*frames, dis_flow)
        assert again.homography.tobytes() == once.homography.tobytes()
        assert again.flow.tobytes() == once.flow.tobytes()
        assert (again.matches, again.inliers) == (once.matches, once.inliers)


def test_batch_is_the_single_pairs():
    """A flat pair between two others: pairs done together equal pairs done one by one."""
    calls = []

    def counted(grays0, grays1):
        calls.append(len(grays0))
        return dis_flow(grays0, grays1)

    flat, first = np.full((HEIGHT, WIDTH), 90, np.uint8), scene(np.eye(3))
    before, after = (
        np.repeat(np.stack(grays)[..., None], 3, axis=3)
        for grays in ([first, flat, scene(CAMERAS["zoom out"])], [scene(CAMERAS["pan"]), flat, first])
    )
    together = warped_flows(before, after, counted)
    assert [result.ok for result in together] == [True, False, True]
    assert calls == [3, 2]
    for result, frame0, frame1 in zip(together, before, after, strict=True):
        alone = warped_flow(frame0, frame1, dis_flow)
        np.testing.assert_array_equal(alone.flow, result.flow)
        np.testing.assert_array_equal(alone.first_flow, result.first_flow)
        np.testing.assert_array_equal(alone.homography, result.homography)


def test_number_of_threads_changes_nothing():
    frames = np.stack([scene(CAMERAS[name], OBJECT_MOTION) for name in ("pan", "zoom out", "perspective", "pan")])
    before, results = cv2.getNumThreads(), {}
    try:
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            results[threads] = warped_flows(frames[:-1], frames[1:], dis_flow)
    finally:
        cv2.setNumThreads(before)
    for one, four in zip(results[1], results[4], strict=True):
        assert one.ok
        assert (one.matches, one.inliers) == (four.matches, four.inliers)
        assert one.homography.tobytes() == four.homography.tobytes()
        np.testing.assert_array_equal(one.flow, four.flow)


def test_keypoints_belong_to_their_own_pair():
    frames = np.stack([scene(np.eye(3)), scene(CAMERAS["pan"]), scene(CAMERAS["zoom out"])])
    for index, (first, second) in enumerate(pair_keypoints(frames[:-1], frames[1:])):
        np.testing.assert_array_equal(first.points, find_keypoints(frames[index]).points)
        np.testing.assert_array_equal(second.points, find_keypoints(frames[index + 1]).points)


def test_known_flow_is_not_computed_again():
    calls = []

    def counted(grays0, grays1):
        calls.append(len(grays0))
        return dis_flow(grays0, grays1)

    frame0, frame1 = scene(np.eye(3)), scene(CAMERAS["pan"])
    flow = dis_flow(frame0[None], frame1[None])[0]
    given, computed = warped_flow(frame0, frame1, counted, flow), warped_flow(frame0, frame1, dis_flow)
    assert calls == [1]
    np.testing.assert_array_equal(given.flow, computed.flow)


def test_no_pairs():
    assert warped_flows(np.zeros((0, 8, 9, 3), np.uint8), np.zeros((0, 8, 9, 3), np.uint8), no_flow) == []


@pytest.mark.parametrize(
    ("frame0", "frame1", "flow", "words"),
    [
        (np.zeros((8, 9, 3), np.float32), np.zeros((8, 9, 3), np.uint8), None, "frames0 must be uint8"),
        (np.zeros((8, 9, 3), np.uint8), np.zeros((8, 9, 4), np.uint8), None, "frames1 must be uint8"),
        (np.zeros((0, 9), np.uint8), np.zeros((0, 9), np.uint8), None, "found uint8"),
        (np.zeros((8, 9), np.uint8), np.zeros((9, 8), np.uint8), None, "do not pair"),
        (np.zeros((8, 9), np.uint8), np.zeros((8, 9), np.uint8), np.zeros((9, 8, 2)), r"\(1, 8, 9, 2\) expected"),
    ],
)
def test_bad_input(frame0, frame1, flow, words):
    with pytest.raises(PytsnError, match=words):
        warped_flow(frame0, frame1, no_flow, flow)


def test_flow_function_of_another_shape():
    with pytest.raises(PytsnError, match="expected for these frames"):
        warped_flow(scene(np.eye(3)), scene(np.eye(3)), lambda a, b: np.zeros((len(a), 2, 3, 2), np.float32))

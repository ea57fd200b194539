"""The flow algorithms behind one form: direction, order of x and y, shapes, errors."""

import cv2
import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.flow.extract.threads import in_threads
from pytsn.flow.methods import ALGORITHMS, make_flow
from tests.flow.flow_videos import SHIFT, moving_frames


def _gray_pairs(count=3, height=72, width=96):
    gray = np.stack([cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) for frame in moving_frames(count + 1, height, width)])
    return gray[:-1], gray[1:]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_known_motion(algorithm):
    gray0, gray1 = _gray_pairs()
    flow = make_flow(algorithm)(gray0, gray1)
    assert (flow.shape, flow.dtype) == ((3, 72, 96, 2), np.float32)
    inner = flow[:, 12:-12, 12:-12]
    # content moves 2 left and 1 up a frame; the quick ones are good to about a tenth of a pixel
    assert np.abs(inner - np.float32([-SHIFT[0], -SHIFT[1]])).mean() < 0.12


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_pairs_of_a_batch_do_not_meddle(algorithm):
    gray0, gray1 = _gray_pairs()
    flow = make_flow(algorithm)
    one_by_one = np.concatenate([flow(gray0[i : i + 1], gray1[i : i + 1]) for i in range(len(gray0))])
    np.testing.assert_allclose(flow(gray0, gray1), one_by_one, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("lucas",), "tvl1, farneback, dis"),
        (("tvl1", "opencv9"), "opencv2.4-cuda"),
        (("tvl1", "opencv2.4-cuda", "tpu"), "tpu"),
    ],
)
def test_unknown_choices(arguments, says):
    with pytest.raises(PytsnError, match=says):
        make_flow(*arguments)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_frames_of_another_form(algorithm):
    gray0, gray1 = _gray_pairs()
    flow = make_flow(algorithm)
    for pair in ((gray0[0], gray1[0]), (gray0.astype(np.float32), gray1.astype(np.float32)), (gray0, gray1[:2])):
        with pytest.raises(PytsnError):
            flow(*pair)


def test_frames_too_small_for_an_algorithm_are_named():
    tiny = np.zeros((1, 3, 4), np.uint8)
    with pytest.raises(PytsnError, match="4x3"):
        make_flow("dis")(tiny, tiny)


@pytest.mark.parametrize("algorithm", ["farneback", "dis"])
def test_threads_may_share_a_flow_function(algorithm):
    """OpenCV's DIS object does not survive two threads at once."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 96, 128), np.uint8)
    flow = make_flow(algorithm)
    alone = flow(noise[:-1], noise[1:])
    for _ in range(5):
        np.testing.assert_array_equal(in_threads(flow, 3)(noise[:-1], noise[1:]), alone)

"""The colour wheel: hues of known directions, white for rest, black for what is unknown."""

import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.flow.preview.colour import colour_wheel, flow_to_bgr, wheel_picture


def bgr(x: float, y: float, radius: float | None = None) -> tuple[int, ...]:
    return tuple(int(value) for value in flow_to_bgr(np.array([[[x, y]]]), radius)[0, 0])


def test_wheel_has_the_published_steps():
    # Baker et al.: 15 red to yellow, 6 to green, 4 to cyan, 11 to blue, 13 to magenta, 6 to red: 55 in all
    wheel = colour_wheel()
    assert wheel.shape == (55, 3)
    corners = {0: (1, 0, 0), 15: (1, 1, 0), 21: (0, 1, 0), 25: (0, 1, 1), 36: (0, 0, 1), 49: (1, 0, 1)}
    for place, colour in corners.items():
        np.testing.assert_array_equal(wheel[place], colour)
    np.testing.assert_allclose(wheel[5], (1, 1 / 3, 0))
    np.testing.assert_allclose(wheel[52], (1, 0, 0.5))


@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (1, 0, (0, 0, 255)),  # right: red
        (0, 1, (0, 230, 255)),  # down: step 13.5 of the 15 from red to yellow, 255 * 13.5 / 15 = 229.5
        (-1, 0, (255, 209, 0)),  # left: step 27, 2 of the 11 from cyan to blue, 255 * 9 / 11 = 208.6
        (0, -1, (255, 0, 88)),  # up: step 40.5, 4.5 of the 13 from blue to magenta, 255 * 4.5 / 13 = 88.3
        (1, 1, (0, 115, 255)),  # right and down: step 6.75, 255 * 6.75 / 15 = 114.75
    ],
)
def test_hue_of_a_direction(x, y, expected):
    assert bgr(x, y, np.hypot(x, y)) == pytest.approx(expected, abs=1)  # halves may go either way


def test_just_above_the_right_is_the_other_end_of_the_wheel():
    # the published code lays 54 of the 55 steps around the circle: its last hue, 1/6 of the way from red to magenta
    assert bgr(1, -1e-9, 1) == pytest.approx((255 / 6, 0, 255), abs=1)


def test_length_is_saturation():
    assert bgr(0, 0, 3) == (255, 255, 255)
    assert bgr(0, 0) == (255, 255, 255)  # nothing moves and no scale given
    assert bgr(1, 0, 4) == pytest.approx((191, 191, 255), abs=1)  # a quarter of the way from white to red
    assert bgr(8, 0, 4) == pytest.approx((0, 0, 191), abs=1)  # beyond the scale: three quarters of full red


def test_scale_is_the_longest_vector_unless_given():
    flow = np.zeros((4, 5, 2))
    flow[1, 2] = (-3, 4)
    flow[3, 3] = (0.6, 0.8)
    flow[0, 0] = (np.nan, 1)
    np.testing.assert_array_equal(flow_to_bgr(flow), flow_to_bgr(flow, 5.0))
    assert (flow_to_bgr(flow) != flow_to_bgr(flow, 10.0)).any()


@pytest.mark.parametrize("vector", [(np.nan, 0), (0, np.nan), (np.inf, 1), (2, -np.inf)])
def test_unknown_is_black_and_leaves_the_rest_alone(vector):
    flow = np.ones((2, 3, 2), np.float32)
    expected = flow_to_bgr(flow)
    flow[1, 2] = vector
    picture = flow_to_bgr(flow)
    assert not picture[1, 2].any()
    np.testing.assert_array_equal(picture[0], expected[0])
    assert picture.dtype == np.uint8


def test_legend_is_the_wheel_seen_from_above():
    picture = wheel_picture(41)
    assert picture.shape == (41, 41, 3)
    np.testing.assert_array_equal(picture[20, 20], (255, 255, 255))
    np.testing.assert_array_equal(picture[0, 0], (255, 255, 255))  # outside the disc
    np.testing.assert_array_equal(picture[20, 40], bgr(20, 0, 20))
    np.testing.assert_array_equal(picture[40, 20], bgr(0, 20, 20))
    np.testing.assert_array_equal(picture[20, 10], bgr(-10, 0, 20))


def test_bad_input():
    with pytest.raises(PytsnError, match=r"\(H, W, 2\) expected, found \(2, 3, 4\)"):
        flow_to_bgr(np.zeros((2, 3, 4)))
    for radius in (0, -1.0, np.nan):
        with pytest.raises(PytsnError, match="positive number"):
            flow_to_bgr(np.zeros((2, 3, 2)), radius)

"""Crops: byte for byte what Caffe was fed, and a slow oracle on asymmetric frames."""

import cv2
import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.data.frame_images import read_flow_stack, read_rgb
from pytsn.data.modalities import MODALITIES
from pytsn.data.ten_crops import crop_corners, oversample_flow, oversample_rgb


def slow_crops(planes: np.ndarray, crop: int, flow: bool) -> np.ndarray:
    """Pixel by pixel: planes (C, H, W) -> (10, C, crop, crop)."""
    channels, height, width = planes.shape
    tops = [0, 0, height - crop, height - crop, (height - crop) // 2] * 2
    lefts = [0, width - crop, 0, width - crop, (width - crop) // 2] * 2
    out = np.zeros((10, channels, crop, crop), np.uint8)
    for n in range(10):
        for c in range(channels):
            for y in range(crop):
                for x in range(crop):
                    column = x if n < 5 else crop - 1 - x
                    value = int(planes[c, tops[n] + y, lefts[n] + column])
                    out[n, c, y, x] = 255 - value if flow and n >= 5 and c % 2 == 0 else value
    return out


@pytest.mark.golden
def test_rgb_crops_are_byte_equal_to_the_recording(golden):
    recorded = np.load(golden / "bn_inception/forward_rgb.npz")["crops_uint8"]
    frame = read_rgb(str(golden / "eval/frames/v_ApplyEyeMakeup_g01_c01"), "img_", 7)
    crops = oversample_rgb(frame)
    assert crops.dtype == np.uint8
    np.testing.assert_array_equal(crops, recorded)


@pytest.mark.golden
def test_the_mean_is_the_one_caffe_subtracted(golden):
    recording = np.load(golden / "bn_inception/forward_rgb.npz")
    mean = np.array(MODALITIES["rgb"].mean, np.float32).reshape(1, 3, 1, 1)
    data = (recording["crops_uint8"] - mean).mean(axis=(2, 3), dtype=np.float64)
    # spatial means of ~100 as float32: one part in 10^5 is far below a mean value that is off by one
    np.testing.assert_allclose(data, recording["mean:data"], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("shape", [(9, 14), (10, 14), (9, 13), (6, 8), (6, 6)])
def test_rgb_against_the_slow_oracle(shape):
    frame = np.random.default_rng(3).integers(0, 256, (*shape, 3), dtype=np.uint8)
    np.testing.assert_array_equal(oversample_rgb(frame, 6, None), slow_crops(frame.transpose(2, 0, 1), 6, flow=False))


@pytest.mark.parametrize("shape", [(9, 14), (10, 13), (5, 9)])
def test_flow_against_the_slow_oracle(shape):
    stack = np.random.default_rng(4).integers(0, 256, (6, *shape), dtype=np.uint8)
    np.testing.assert_array_equal(oversample_flow(stack, 5, None), slow_crops(stack, 5, flow=True))


def test_frames_of_another_size_are_resized_first():
    frame = np.random.default_rng(5).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    resized = cv2.resize(frame, (17, 12))  # (width, height)
    assert resized.shape == (12, 17, 3)
    expected = slow_crops(resized.transpose(2, 0, 1), 8, flow=False)
    np.testing.assert_array_equal(oversample_rgb(frame, 8, (17, 12)), expected)
    planes = np.ascontiguousarray(frame.transpose(2, 0, 1)[:2])
    expected = slow_crops(np.stack([cv2.resize(plane, (17, 12)) for plane in planes]), 8, flow=True)
    np.testing.assert_array_equal(oversample_flow(planes, 8, (17, 12)), expected)


@pytest.mark.golden
def test_a_real_flow_stack_at_full_size(golden):
    folder = str(golden / "eval/frames/v_BabyCrawling_g03_c02")
    stack = read_flow_stack(folder, "flow_x_", "flow_y_", [1, 2])
    crops = oversample_flow(stack)
    assert crops.shape == (10, 4, 224, 224)
    np.testing.assert_array_equal(crops[3], stack[:, 32:, 116:])
    np.testing.assert_array_equal(crops[9, 0], 255 - stack[0, 16:240, 58:282][:, ::-1])
    np.testing.assert_array_equal(crops[9, 3], stack[3, 16:240, 58:282][:, ::-1])
    assert abs(float(stack.mean()) - MODALITIES["flow"].mean[0]) < 8  # no motion is grey 128


def test_both_centre_rules_of_the_original_agree_for_every_size():
    for crop in (3, 4, 224, 227):
        for size in range(crop, crop + 200):
            truncated = int(size / 2.0 + -crop / 2.0)  # the rgb rule, in floats
            end = int(size / 2.0 + crop / 2.0)
            halved = (size - crop) // 2  # the flow rule
            assert (truncated, end) == (halved, halved + crop)
            assert crop_corners(size, size + 5, crop)[4] == (truncated, (size + 5 - crop) // 2)


@pytest.mark.parametrize("size", [(340, 223), (223, 256)])
def test_crops_larger_than_the_frame_are_refused(size):
    with pytest.raises(PytsnError, match=rf"224x224 pixels do not fit into frames of {size[0]}x{size[1]}"):
        oversample_rgb(np.zeros((30, 40, 3), np.uint8), size=size)

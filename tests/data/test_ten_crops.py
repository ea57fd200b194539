"""Crops: byte for byte what Caffe was fed, and a slow oracle on asymmetric frames."""

import cv2
import numpy as np
import pytest
import torch

from converter.errors import PytsnError
from pytsn.data.frame_images import read_flow_stack, read_rgb
from pytsn.data.modalities import MODALITIES
from pytsn.data.ten_crops import FRAME_SIZE, centre_crops, crop_corners, resize, ten_crops
from tests.data.crop_oracles import pixel_crops, slice_crops


def rgb_crops(frame: np.ndarray, crop: int = 224, size: tuple[int, int] | None = FRAME_SIZE) -> np.ndarray:
    """A frame uint8 (H, W, 3) as the reader and the net treat it: (10, 3, crop, crop)."""
    planes = np.ascontiguousarray(resize(frame, size).transpose(2, 0, 1))
    return ten_crops(torch.from_numpy(planes)[None], crop, is_flow=False).numpy()


def flow_crops(stack: np.ndarray, crop: int = 224, size: tuple[int, int] | None = FRAME_SIZE) -> np.ndarray:
    """A flow stack uint8 (2 L, H, W) likewise: (10, 2 L, crop, crop)."""
    planes = np.stack([resize(plane, size) for plane in stack])
    return ten_crops(torch.from_numpy(planes)[None], crop, is_flow=True).numpy()


@pytest.mark.golden
def test_rgb_crops_are_byte_equal_to_the_recording(golden):
    recorded = np.load(golden / "bn_inception/forward_rgb.npz")["crops_uint8"]
    frame = read_rgb(str(golden / "eval/frames/v_ApplyEyeMakeup_g01_c01"), "img_", 7)
    crops = rgb_crops(frame)
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
    np.testing.assert_array_equal(rgb_crops(frame, 6, None), pixel_crops(frame.transpose(2, 0, 1), 6, flow=False))


@pytest.mark.parametrize("shape", [(9, 14), (10, 13), (5, 9)])
def test_flow_against_the_slow_oracle(shape):
    stack = np.random.default_rng(4).integers(0, 256, (6, *shape), dtype=np.uint8)
    np.testing.assert_array_equal(flow_crops(stack, 5, None), pixel_crops(stack, 5, flow=True))


@pytest.mark.parametrize("channels", [3, 10])
def test_crops_of_several_snippets(channels):
    planes = np.random.default_rng(0).integers(0, 256, (2, channels, 29, 37), np.uint8)
    flow = channels == 10
    crops = ten_crops(torch.from_numpy(planes), 13, is_flow=flow).numpy()
    centres = centre_crops(torch.from_numpy(planes), 13).numpy()
    assert (crops.dtype, crops.shape, centres.shape) == (np.uint8, (20, channels, 13, 13), (2, channels, 13, 13))
    for index, snippet in enumerate(planes):
        want = pixel_crops(snippet, 13, flow)
        np.testing.assert_array_equal(slice_crops(snippet, 13, flow), want)
        np.testing.assert_array_equal(crops[10 * index : 10 * index + 10], want)
        np.testing.assert_array_equal(centres[index], want[4])


def test_frames_of_another_size_are_resized_first():
    frame = np.random.default_rng(5).integers(0, 256, (20, 31, 3), dtype=np.uint8)
    resized = cv2.resize(frame, (17, 12))  # (width, height)
    assert resized.shape == (12, 17, 3)
    expected = pixel_crops(resized.transpose(2, 0, 1), 8, flow=False)
    np.testing.assert_array_equal(rgb_crops(frame, 8, (17, 12)), expected)
    planes = np.ascontiguousarray(frame.transpose(2, 0, 1)[:2])
    expected = pixel_crops(np.stack([cv2.resize(plane, (17, 12)) for plane in planes]), 8, flow=True)
    np.testing.assert_array_equal(flow_crops(planes, 8, (17, 12)), expected)


@pytest.mark.golden
def test_a_real_flow_stack_at_full_size(golden):
    folder = str(golden / "eval/frames/v_BabyCrawling_g03_c02")
    stack = read_flow_stack(folder, "flow_x_", "flow_y_", [1, 2])
    crops = flow_crops(stack)
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
        rgb_crops(np.zeros((30, 40, 3), np.uint8), size=size)

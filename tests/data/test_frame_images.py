"""Reading frames: colour order, plane order, and the one-line errors for broken images."""

import builtins

import cv2
import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.data import frame_images as frames


def write_image(path, image):
    assert cv2.imwrite(str(path), image)


@pytest.fixture
def video(tmp_path):
    """Three lossless frames of 7 x 11 pixels with flow images whose grey value tells which one they are."""
    for index in (1, 2, 3):
        rgb = np.zeros((7, 11, 3), np.uint8)
        rgb[..., 0], rgb[..., 2] = 200, index  # blue 200, red = frame number
        write_image(tmp_path / f"img_{index:05d}.png", rgb)
        write_image(tmp_path / f"flow_x_{index:05d}.png", np.full((7, 11), 10 + index, np.uint8))
        write_image(tmp_path / f"flow_y_{index:05d}.png", np.full((7, 11), 20 + index, np.uint8))
    return str(tmp_path)


def test_rgb_is_bgr(video):
    frame = frames.read_rgb(video, "img_", 2, ext="png")
    assert frame.shape == (7, 11, 3)
    assert frame.dtype == np.uint8
    assert frame[3, 4].tolist() == [200, 0, 2]


def test_flow_stack_alternates_x_and_y(video):
    stack = frames.read_flow_stack(video, "flow_x_", "flow_y_", [2, 3, 3], ext="png")
    assert stack.shape == (6, 7, 11)
    assert stack.dtype == np.uint8
    assert stack[:, 0, 0].tolist() == [12, 22, 13, 23, 13, 23]


@pytest.mark.golden
def test_jpegs_equal_what_imread_gives(golden):
    folder = golden / "eval/frames/v_Archery_g02_c01"
    for index in (1, 60):
        name = str(folder / f"img_{index:05d}.jpg")
        np.testing.assert_array_equal(frames.read_rgb(str(folder), "img_", index), cv2.imread(name))
    stack = frames.read_flow_stack(str(folder), "flow_x_", "flow_y_", [7])
    for plane, axis in zip(stack, "xy", strict=True):
        grey = cv2.imread(str(folder / f"flow_{axis}_00007.jpg"), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(plane, grey)


@pytest.mark.parametrize(
    ("name", "damage", "words"),
    [
        ("jpg", None, "no such file"),
        ("jpg", lambda data: b"", "empty"),
        ("jpg", lambda data: b"<html>404</html>", "not an image"),
        ("jpg", lambda data: data[: len(data) // 2], "cut short"),
        ("jpg", lambda data: data[:-2], "cut short"),
        ("png", lambda data: data[:-12], "cut short"),
        ("jpg", lambda data: data[:2] + b"\0" * 40 + b"\xff\xd9", "not an image"),
    ],
)
def test_broken_images_are_named(tmp_path, capfd, name, damage, words):
    path = tmp_path / f"img_00004.{name}"
    if damage:
        noise = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        write_image(path, noise)
        path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(PytsnError, match=rf"img_00004\.{name}: .*{words}"):
        frames.read_rgb(str(tmp_path), "img_", 4, ext=name)
    assert capfd.readouterr().err == ""  # OpenCV says nothing beside our line


def test_an_end_marker_in_a_thumbnail_does_not_pass_for_the_images_own(tmp_path):
    path = tmp_path / "img_00001.jpg"
    write_image(path, np.random.default_rng(1).integers(0, 255, (40, 50, 3), dtype=np.uint8))
    data = path.read_bytes()
    thumbnail = b"\xff\xe1\x00\x08\xff\xda\xff\xd9\x00\x00"  # an APP1 segment that holds scan and end markers
    path.write_bytes(data[:2] + thumbnail + data[2:])
    assert frames.read_rgb(str(tmp_path)).shape == (40, 50, 3)
    path.write_bytes((data[:2] + thumbnail + data[2:])[:-400])
    with pytest.raises(PytsnError, match="cut short"):
        frames.read_rgb(str(tmp_path))


def test_an_odd_sized_flow_image_is_named(video, tmp_path):
    write_image(tmp_path / "flow_y_00003.png", np.zeros((7, 12), np.uint8))
    with pytest.raises(PytsnError, match=r"flow_y_00003\.png: 12x7 pixels.*flow_x_00002\.png.*11x7"):
        frames.read_flow_stack(video, "flow_x_", "flow_y_", [2, 3], ext="png")


def test_a_missing_system_library_is_explained_in_one_line(monkeypatch):
    real_import = builtins.__import__

    def without_cv2(name, *args, **kwargs):
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_cv2)
    with pytest.raises(PytsnError, match=r"libGL.so.1.*pip install opencv-python-headless.*apt-get install libgl1"):
        frames.load_cv2.__wrapped__()

"""Strips of frames: which frames, from folders and video files, and what is said where there are none."""

import base64

import cv2
import numpy as np
import pytest

from converter.errors import PytsnError
from pytsn.report.thumbnails import find_frames, snippet_images, strip_snippets, video_strip
from tests.flow.flow_videos import make_video, moving_frames

COUNT = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folders of grey frames whose number is their grey value: rgb, rgb from 0, flow alone."""
    root = tmp_path_factory.mktemp("frames")
    for name, kinds, first in (("rgb", ("img_",), 1), ("zero", ("img_",), 0), ("flow", ("flow_x_", "flow_y_"), 1)):
        (root / "class" / name).mkdir(parents=True)
        for number in range(1, COUNT + 1):
            for kind in kinds:
                image = np.full((30, 40, 3), 4 * number, np.uint8)
                cv2.imwrite(str(root / "class" / name / f"{kind}{number - 1 + first:05d}.jpg"), image)
    make_video(root / "videos" / "class" / "file.avi", 30)
    return root


def greys(strip) -> list[float]:
    """The numbers of the frames, by what is to be seen in them."""
    return [round(decoded(frame).mean() / 4) for frame in strip.frames]


def decoded(frame) -> np.ndarray:
    kind, _, data = frame.uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[:2] == (frame.height, frame.width)
    return image


@pytest.mark.parametrize("name", ["rgb", "zero", "flow"])
def test_frames_of_a_folder_are_those_of_the_snippets(folder, name):
    """25 snippets over 60 images by the original's rule: every second one; eight of them, in the middles of eighths."""
    path = find_frames(str(folder), [name])[name]
    strip = video_strip(path, 25, {"modality": "rgb", "num_frame_per_video": 25})
    assert strip.missing == ""
    assert [frame.number for frame in strip.frames] == [1 + 2 * snippet for snippet in (1, 4, 7, 10, 14, 17, 20, 23)]
    assert greys(strip) == [frame.number for frame in strip.frames]
    assert {(frame.width, frame.height, frame.count) for frame in strip.frames} == {(160, 120, COUNT)}


def test_snippets_of_another_number_are_taken_in_proportion():
    assert strip_snippets(3) == [0, 1, 2]
    assert strip_snippets(1) == [0]
    assert snippet_images(60, 3, {}) == [1, 21, 41]
    assert snippet_images(60, 3, {"modality": "rgb", "num_frame_per_video": 25}) == [1, 21, 41]
    assert snippet_images(60, 3, {"modality": "flow", "num_frame_per_video": 3}) == [1, 28, 55]  # (60 - 5) // 2
    assert snippet_images(24, 25, {"modality": "flow", "num_frame_per_video": 25}) == [1, 4, 7, 10, 14, 17, 20, 23]
    assert snippet_images(60, 3, {"modality": ["?"], "num_frame_per_video": 3}) == [1, 21, 41]


def test_frames_of_a_video_file(folder):
    """Image k of an extraction is frame k of the file, counted from 0."""
    path = find_frames(str(folder / "videos"), ["file"])["file"]
    strip = video_strip(path, 4, {"modality": "rgb", "num_frame_per_video": 4})
    assert [(frame.number, frame.count) for frame in strip.frames] == [(1, 29), (10, 29), (19, 29), (28, 29)]
    originals = moving_frames(30)
    for frame in strip.frames:
        image = decoded(frame).astype(float)
        near = [np.abs(image - cv2.resize(other, (frame.width, frame.height))).mean() for other in originals]
        assert int(np.argmin(near)) == frame.number


def test_what_cannot_be_read_is_said(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "no frames in it" in video_strip(str(tmp_path / "empty"), 3, {}).missing
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "img_00001.jpg").write_bytes(b"no jpeg")
    assert "not an image" in video_strip(str(tmp_path / "bad"), 3, {}).missing
    assert "no such file" in video_strip(str(tmp_path / "gone"), 3, {}).missing
    with pytest.raises(PytsnError, match="holds no frames and no video files of the 1 video to show: other"):
        find_frames(str(tmp_path), ["other"])
    assert find_frames(str(folder), []) == {}

"""Strips of a video's frames as small JPEGs for the report."""

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from converter.errors import PytsnError
from converter.text_table import amount
from pytsn.data.decoded_snippets import look_through
from pytsn.data.frame_folders import look_into, parse_directory
from pytsn.data.frame_images import frame_path, load_cv2, read_image, read_rgb
from pytsn.data.jpeg import encode_jpeg
from pytsn.data.modalities import MODALITIES, PREFIXES
from pytsn.data.snippet_ticks import frame_ticks
from pytsn.data.sources import Kinds
from pytsn.data.video_file import VideoFrames, is_video_file
from pytsn.data.video_folder import find_video_files

#: frames of a strip, the width of each in pixels (twice what it takes on the page), and its quality as JPEG
STRIP, _WIDTH, _QUALITY = 8, 160, 70
_TALLEST = 4  # times as high as wide, at most


@dataclass(frozen=True)
class Frame:
    """A small picture: JPEG as a data URI, its size in pixels, and its number among ``count`` images (from 1)."""

    uri: str
    width: int
    height: int
    number: int
    count: int


@dataclass(frozen=True)
class Strip:
    """A video's frames in order of time, or why there are none."""

    frames: tuple[Frame, ...] = ()
    missing: str = ""


def find_frames(root: str, names: Sequence[str], kinds: Kinds = PREFIXES) -> dict[str, str]:
    """The folders of frames (or zips) of these videos below ``root``, by name; where it holds none of them, the video
    files of these names. kinds: prefixes or patterns of rgb, flow x and flow y files.

    Raises PytsnError when ``root`` is not there or holds none of the videos.
    """
    found = {name: folder.path for name, folder in parse_directory(root, *kinds, names, images=()).items()}
    if names and not found:
        found = find_video_files(root, set(names))
    if names and not found:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        videos = amount(len(names), "video")
        raise PytsnError(f"{root}: holds no frames and no video files of the {videos} to show: {shown}")
    return found


def video_strip(path: str, snippets: int, settings: dict, kinds: Kinds = PREFIXES) -> Strip:
    """The frames of a video, a folder or a file, at STRIP of its snippets (all of them if they are fewer), spread
    evenly. ``settings``: those of its scores, which tell how snippets were chosen. A folder without rgb frames shows
    the flow's x images. What cannot be read makes a strip without frames that says why."""
    try:
        if is_video_file(path):
            return Strip(tuple(_from_file(path, snippets, settings)))
        return Strip(tuple(_from_folder(path, snippets, settings, kinds)))
    except PytsnError as error:
        return Strip(missing=str(error))


def strip_snippets(snippets: int) -> list[int]:
    """The snippets shown, from 0: those in the middle of equal parts."""
    shown = min(STRIP, snippets)
    return [int((place + 0.5) * snippets / shown) for place in range(shown)]


def snippet_images(count: int, snippets: int, settings: dict) -> list[int]:
    """The first image (from 1, of ``count``) of each snippet shown: by the rule of the test where a fixed number was
    sampled, else in proportion. All snippets of a very short video are of its first image; it is shown in proportion
    too."""
    ticks = _ticks(count, snippets, settings)
    if len(set(ticks)) < snippets:
        ticks = [1 + snippet * count // snippets for snippet in range(snippets)]
    return [ticks[snippet] for snippet in strip_snippets(snippets)]


def _ticks(count: int, snippets: int, settings: dict) -> list[int]:
    """The ticks of a test with a fixed number of snippets, none of another one."""
    modality = settings.get("modality")
    known = isinstance(modality, str) and modality in MODALITIES
    if settings.get("num_frame_per_video") != snippets or not known:
        return []
    return frame_ticks(count, snippets, MODALITIES[str(modality)].stack)


def _from_file(path: str, snippets: int, settings: dict) -> list[Frame]:
    count = look_through(path).images
    numbers = snippet_images(count, snippets, settings)
    found = dict(_small(VideoFrames(path), set(numbers)))
    return [_frame(found[number], number, count) for number in numbers if number in found]


def _small(video: VideoFrames, numbers: Collection[int]):
    for number, image in video.numbered(numbers):
        yield number, _resized(image)


def _from_folder(path: str, snippets: int, settings: dict, kinds: Kinds) -> list[Frame]:
    folder = look_into(path, kinds, ())
    count = folder.rgb_count or folder.flow_count
    if not count:
        raise PytsnError(f"{path}: no frames in it")
    numbers, images = snippet_images(count, snippets, settings), []
    for number in numbers:
        if folder.rgb_count:
            images.append(read_rgb(path, kinds[0], number - 1 + folder.rgb_first))
        else:
            flow = frame_path(path, kinds[1], number - 1 + folder.flow_first)
            images.append(read_image(flow, load_cv2().IMREAD_COLOR))
    return [_frame(_resized(image), number, count) for image, number in zip(images, numbers, strict=True)]


def _resized(image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) -> the same picture, _WIDTH pixels wide."""
    height, width = image.shape[:2]
    size = _WIDTH, min(max(1, round(_WIDTH * height / width)), _TALLEST * _WIDTH)
    cv2 = load_cv2()
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if width > _WIDTH else cv2.INTER_LINEAR)


def _frame(image: np.ndarray, number: int, count: int) -> Frame:
    data = base64.b64encode(encode_jpeg(image, _QUALITY)).decode("ascii")
    height, width = image.shape[:2]
    return Frame(f"data:image/jpeg;base64,{data}", width, height, number, count)

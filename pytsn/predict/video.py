"""The snippets of a video file, made on the fly: the same bytes that an extraction to JPEGs would have given.

One pass over the frames, and only the flow that snippets need: 25 snippets of flow are 125 pairs of frames, however
long the video. The nets were trained on JPEGs, so frames and flow images are encoded and decoded as the extractor does
(in memory, quality 95). Image k belongs to frames k - 1 and k (from 0) of the video: its RGB image is frame k.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_images import load_cv2
from pytsn.data.modalities import MODALITIES
from pytsn.data.snippet_ticks import flow_indices
from pytsn.data.ten_crops import FRAME_SIZE
from pytsn.data.video_file import VideoFrames
from pytsn.flow.extract.frame_writer import encode_jpeg
from pytsn.flow.methods import FlowFunction
from pytsn.flow.quantise import quantise_flow
from pytsn.flow.warp.camera_motion import warped_flows


@dataclass(frozen=True)
class FlowWork:
    """How flow is computed: the function (pytsn.flow.methods) and the pairs of frames that it is given at a time."""

    function: FlowFunction
    batch_size: int = 4

    def images(self, pairs: Sequence[tuple[np.ndarray, np.ndarray]], streams: Iterable[str]) -> dict[str, np.ndarray]:
        """Flow images of pairs of grey frames uint8 (H, W): stream (flow, warped) -> uint8 (B, 2, H, W), x then y, as
        read from JPEGs."""
        gray0, gray1 = (np.stack(side) for side in zip(*pairs, strict=True))
        found = {"flow": self.function(gray0, gray1)}  # (B, H, W, 2)
        if "warped" in streams:
            results = warped_flows(gray0, gray1, self.function, found["flow"])
            found["warped"] = np.stack([result.flow for result in results])
        return {stream: _flow_images(found[stream]) for stream in streams}


@dataclass(frozen=True)
class VideoFacts:
    """images: frames but one, as many as an extraction would write; height, width: of its frames, in pixels;
    fps: frames a second where the file tells, else None."""

    images: int
    height: int
    width: int
    fps: float | None


def look_through(path: str, progress: Callable[[Iterable], Iterable] = iter) -> VideoFacts:
    """Decodes all frames, because what containers announce is often wrong. ``progress`` wraps the iteration over them.

    Raises PytsnError for a video of one frame, and as VideoFrames does.
    """
    video, shape = VideoFrames(path), (0, 0)
    for frame in progress(video):
        shape = frame.shape[:2]
    if video.count < 2:
        raise PytsnError(f"{path}: only 1 frame in it; 2 or more are needed")
    return VideoFacts(video.count - 1, *shape, frame_rate(path))


def frame_rate(path: str) -> float | None:
    """Frames a second as the container says, None where that is nothing sensible."""
    cv2 = load_cv2()
    capture = cv2.VideoCapture(os.path.abspath(path))
    rate = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return rate if 1 <= rate <= 1000 else None


def video_snippets(
    path: str,
    ticks: Mapping[str, Sequence[int]],
    count: int,
    flow: FlowWork | None = None,
    on_frame: Callable[[int, np.ndarray], object] = lambda number, frame: None,
) -> Iterator[tuple[str, np.ndarray]]:
    """(stream, snippet) for each stream's ticks (distinct, ascending), each stream's in order: uint8 (P, 256, 340),
    as ``pytsn.data.snippet_reader.read_snippet`` reads them from an extraction of ``count`` images.

    Memory: the images of the snippets under way and one batch of pairs. ``on_frame`` is called with the number (from 1)
    and the frame, uint8 (256, 340, 3) BGR, of every image passed. Raises PytsnError as VideoFrames does.
    """
    making = {name: _Snippets(ticks[name], count, MODALITIES[name].stack) for name in ticks}
    coloured = [name for name in making if not MODALITIES[name].is_flow]
    moving = [name for name in making if MODALITIES[name].is_flow]
    pairs: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    before = None
    last = max(max(snippets.numbers) for snippets in making.values())
    for number, frame in enumerate(VideoFrames(path, FRAME_SIZE)):
        if number:
            on_frame(number, frame)
        _add_colour(number, frame, [making[name] for name in coloured])
        gray = _gray(frame) if moving else None
        wanted = any(number in making[name].numbers for name in moving)
        if wanted and before is not None and gray is not None:
            pairs[number] = before, gray
        before = gray
        if len(pairs) == (flow.batch_size if flow else 0) or number == last:
            _add_flow(pairs, {name: making[name] for name in moving}, flow)
        for name, snippets in making.items():
            yield from ((name, planes) for planes in snippets.finished())
        if number == last:
            return
    raise PytsnError(
        f"{path}: ends before frame {last}, which it had when its frames were counted; is it being written?"
    )


class _Snippets:
    """Images in, snippets out as soon as their last image is there."""

    def __init__(self, ticks: Sequence[int], count: int, stack: int) -> None:
        self._waiting = deque(flow_indices(tick, count, stack) for tick in ticks)
        self._images: dict[int, np.ndarray] = {}
        self.numbers = {number for indices in self._waiting for number in indices}

    def add(self, number: int, planes: np.ndarray) -> None:
        """Image ``number``, uint8 (P, H, W)."""
        self._images[number] = planes

    def finished(self) -> Iterator[np.ndarray]:
        while self._waiting and all(number in self._images for number in self._waiting[0]):
            indices = self._waiting.popleft()
            yield np.concatenate([self._images[number] for number in indices])  # L x (P, H, W) -> (L P, H, W)
            start = self._waiting[0][0] if self._waiting else max(self.numbers) + 1
            self._images = {number: image for number, image in self._images.items() if number >= start}


def _add_colour(number: int, frame: np.ndarray, receivers: Sequence[_Snippets]) -> None:
    receivers = [snippets for snippets in receivers if number in snippets.numbers]
    if receivers:
        cv2 = load_cv2()
        planes = _through_jpeg(frame, cv2.IMREAD_COLOR).transpose(2, 0, 1)  # (H, W, 3) -> (3, H, W)
        for snippets in receivers:
            snippets.add(number, planes)


def _add_flow(pairs: dict, receivers: Mapping[str, _Snippets], flow: FlowWork | None) -> None:
    """The pairs' flow images to those who want them; ``pairs`` is emptied."""
    if not pairs or flow is None:  # without flow there are none
        return
    for stream, images in flow.images(list(pairs.values()), tuple(receivers)).items():
        for number, planes in zip(pairs, images, strict=True):
            receivers[stream].add(number, planes)
    pairs.clear()


def _flow_images(flow: np.ndarray) -> np.ndarray:
    """float32 (B, H, W, 2), pixels -> uint8 (B, 2, H, W)."""
    levels = np.ascontiguousarray(np.moveaxis(quantise_flow(flow), -1, 1))  # (B, H, W, 2) -> (B, 2, H, W)
    cv2 = load_cv2()
    return np.stack([[_through_jpeg(image, cv2.IMREAD_GRAYSCALE) for image in pair] for pair in levels])


def _through_jpeg(image: np.ndarray, flags: int) -> np.ndarray:
    return load_cv2().imdecode(np.frombuffer(encode_jpeg(image), np.uint8), flags)


def _gray(frame: np.ndarray) -> np.ndarray:
    cv2 = load_cv2()
    return cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)

"""The snippets of a video file, made on the fly: the same bytes that an extraction to JPEGs would have given.

One pass over the frames, and only the flow that snippets need: 25 snippets of flow are 125 pairs of frames, however
long the video. The nets were trained on JPEGs, so frames and flow images are encoded and decoded as the extractor does
(in memory, quality 95). Image k belongs to frames k - 1 and k (from 0) of the video: its RGB image is frame k.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_images import load_cv2
from pytsn.data.frame_size import Size
from pytsn.data.jpeg import through_jpeg
from pytsn.data.modalities import MODALITIES
from pytsn.data.snippet_ticks import flow_indices
from pytsn.data.ten_crops import FRAME_SIZE
from pytsn.data.video_file import VideoFrames, frame_rate

#: two grey frames in a row, uint8 (H, W)
Pair = tuple[np.ndarray, np.ndarray]


class FlowSource(Protocol):
    """What makes flow images of pairs of frames, ``batch_size`` pairs at a time (pytsn/flow/on_the_fly.py)."""

    @property
    def batch_size(self) -> int:
        """Pairs that ``images`` is given at a time."""

    def images(self, pairs: Sequence[Pair], streams: Iterable[str]) -> dict[str, np.ndarray]:
        """Stream (flow, warped) -> uint8 (B, 2, H, W), x then y, as read from JPEGs."""


class FlowChoice(FlowSource, Protocol):
    """A FlowSource that worker processes can be given."""

    @property
    def stream(self) -> str:
        """Which flow a net of flow is shown: flow or warped."""

    def for_worker(self, number: int) -> "FlowChoice":
        """That of worker process ``number``, on its device."""


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


def video_snippets(
    path: str,
    ticks: Mapping[str, Sequence[int]],
    count: int,
    flow: FlowSource | None = None,
    on_frame: Callable[[int, np.ndarray], object] = lambda number, frame: None,
    size: Size = FRAME_SIZE,
) -> Iterator[tuple[str, np.ndarray]]:
    """(stream, snippet) for each stream's ticks (distinct, ascending), each stream's in order: uint8 (P, H, W),
    as ``pytsn.data.snippet_reader.read_snippet`` reads them from an extraction of ``count`` images at ``size``
    (width, height).

    Memory: the images of the snippets under way and one batch of pairs. ``on_frame`` is called with the number (from 1)
    and the frame, uint8 (H, W, 3) BGR, of every image of a snippet. Raises PytsnError as VideoFrames does, and for a
    video that ends before the images of a snippet.
    """
    making = {name: _Snippets(ticks[name], count, MODALITIES[name].stack) for name in ticks}
    coloured = [name for name in making if not MODALITIES[name].is_flow]
    moving = [name for name in making if MODALITIES[name].is_flow]
    numbers = {number for snippets in making.values() for number in snippets.numbers}
    paired = {number for name in moving for number in making[name].numbers}
    pairs: dict[int, Pair] = {}
    before, last = None, max(numbers)
    for number, frame in VideoFrames(path, size).numbered(numbers | {number - 1 for number in paired}):
        if number in numbers:
            on_frame(number, frame)
        _add_colour(number, frame, [making[name] for name in coloured])
        gray = _gray(frame) if moving else None
        if number in paired and before is not None and gray is not None:
            pairs[number] = before, gray  # the frame before was asked for, so it is the last one seen
        before = gray
        if len(pairs) == (flow.batch_size if flow else 0) or number == last:
            _add_flow(pairs, {name: making[name] for name in moving}, flow)
        for name, snippets in making.items():
            yield from ((name, planes) for planes in snippets.finished())
        if number == last:
            return
    raise PytsnError(
        f"{path}: ends before image {last} of {count} (a video of N frames has N - 1 images): is a list's count wrong, "
        "or the file being written?"
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
        planes = through_jpeg(frame, cv2.IMREAD_COLOR).transpose(2, 0, 1)  # (H, W, 3) -> (3, H, W)
        for snippets in receivers:
            snippets.add(number, planes)


def _add_flow(pairs: dict, receivers: Mapping[str, _Snippets], flow: FlowSource | None) -> None:
    """The pairs' flow images to those who want them; ``pairs`` is emptied."""
    if not pairs or flow is None:  # without flow there are none
        return
    for stream, images in flow.images(list(pairs.values()), tuple(receivers)).items():
        for number, planes in zip(pairs, images, strict=True):
            receivers[stream].add(number, planes)
    pairs.clear()


def _gray(frame: np.ndarray) -> np.ndarray:
    cv2 = load_cv2()
    return cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)

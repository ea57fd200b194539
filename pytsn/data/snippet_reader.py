"""Reading the snippets of many videos ahead of the net that scores them, in memory bounded by a constant."""

import itertools
import threading
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from converter.errors import PytsnError
from pytsn.data.decoded_snippets import FlowChoice, video_snippets
from pytsn.data.frame_images import frame_path, read_flow_stack, read_rgb_stack
from pytsn.data.frame_size import Size
from pytsn.data.modalities import MODALITIES, PREFIXES
from pytsn.data.rate_ticks import rate_ticks
from pytsn.data.snippet_ticks import flow_indices, frame_ticks
from pytsn.data.ten_crops import FRAME_SIZE, resize
from pytsn.data.video_file import frame_rate
from pytsn.data.videos import Video
from pytsn.runtime.reading_threads import ReadingThreads

#: snippets read ahead of the net: at 0.9 MB for one of flow, 60 MB; at 1.6 MB for one of rgbdiff, 100 MB
READ_AHEAD = 64
#: of video files, which are decoded as a whole by one thread each, so many for each thread
DECODE_AHEAD = 32
#: video files may say 29.97 for 30000/1001
_RATE_DENOMINATOR = 1001


@dataclass(frozen=True)
class SnippetOptions:
    """Which snippets of a video are read, and under what file names: prefixes, which ``ext`` goes with, or whole
    patterns in their place (pytsn/data/frame_names.py).

    num_frames snippets spread over the video or, given snippet_rate, so many a second: of a video of video_fps frames a
    second or, where that is None, of as many as its frames and its duration make, or its file says.

    frame_size: (width, height) that images are resized to. flow: makes the flow of video files, which are decoded on
    the fly (pytsn/flow/on_the_fly.py); folders of frames need none.
    """

    modality: str = "rgb"
    num_frames: int = 25
    rgb_prefix: str = PREFIXES[0]
    flow_x_prefix: str = PREFIXES[1]
    flow_y_prefix: str = PREFIXES[2]
    ext: str = "jpg"
    snippet_rate: Fraction | None = None
    video_fps: Fraction | None = None
    frame_size: Size = FRAME_SIZE
    flow: FlowChoice | None = None

    def for_worker(self, number: int) -> "SnippetOptions":
        """Those of worker process ``number``, whose flow has a device of its own."""
        return self if self.flow is None else replace(self, flow=self.flow.for_worker(number))

    @property
    def stack(self) -> int:
        """Frames in a snippet: 1 rgb image, 5 pairs of flow images, 6 rgb images for rgbdiff."""
        return MODALITIES[self.modality].stack


def video_ticks(video: Video, options: SnippetOptions) -> list[int]:
    """First frame of each snippet of the video, counted from 1 whatever its file is called.

    Raises PytsnError naming a video without frames, with too few for the modality, or with an unknown or too low frame
    rate where snippets are sampled by rate.
    """
    count, least = video.frame_count(options.modality), MODALITIES[options.modality].least_frames
    try:
        if 0 < count < least:
            raise PytsnError(f"{options.modality} needs at least {least} frames, it has {count}; leave the video out")
        if options.snippet_rate is not None:
            return rate_ticks(count, options.snippet_rate, _frame_rate(video, count, options), options.stack)
        return frame_ticks(count, options.num_frames, options.stack)
    except PytsnError as error:
        raise PytsnError(f"video '{video.name}' ({video.folder}): {error}") from None


def _frame_rate(video: Video, count: int, options: SnippetOptions) -> Fraction:
    if options.video_fps is not None:
        return options.video_fps
    if video.duration is None and video.is_file:
        rate = frame_rate(video.folder)
        if rate is not None:
            return Fraction(rate).limit_denominator(_RATE_DENOMINATOR)
    if video.duration is None:
        raise PytsnError("its duration is not known; tell the frame rate by --video_fps")
    return count / Fraction(video.duration)


def read_snippet(video: Video, tick: int, options: SnippetOptions) -> tuple[np.ndarray, tuple[int, int], str]:
    """One snippet as planes uint8 (C, H, W) at options.frame_size, the height and width it had on disk, and the path of
    its first file.

    Planes: B, G, R of each rgb frame (one, or six for rgbdiff, which are subtracted once they are cropped); x and y in
    turn of a flow stack. Numbers stop at the video's last frame. Resized by ``cv2.resize`` on uint8. Raises PytsnError
    that names the file and what is wrong with it.
    """
    before = video.first_number(options.modality) - 1  # a folder numbered from 0 has frame 1 in file 0
    numbers = flow_indices(tick, video.frame_count(options.modality), options.stack)
    indices = [number + before for number in numbers]
    if MODALITIES[options.modality].is_flow:
        stack = read_flow_stack(video.folder, options.flow_x_prefix, options.flow_y_prefix, indices, options.ext)
        planes = np.stack([resize(plane, options.frame_size) for plane in stack])
        return planes, stack.shape[1:3], frame_path(video.folder, options.flow_x_prefix, indices[0], options.ext)
    stack = read_rgb_stack(video.folder, options.rgb_prefix, indices, options.ext)
    frames = [resize(frame, options.frame_size).transpose(2, 0, 1) for frame in stack]  # L x (H, W, 3) -> L x (3, H, W)
    path = frame_path(video.folder, options.rgb_prefix, indices[0], options.ext)
    return np.concatenate(frames), stack.shape[1:3], path  # -> (3 L, H, W)


def read_videos(
    videos: Iterable[Video], options: SnippetOptions, threads: int = 2
) -> Generator[tuple[Video, np.ndarray], None, None]:
    """Each video with its snippets, uint8 (T, C, H, W), T distinct ticks in order, H and W those of options.frame_size;
    reading runs ahead in threads.

    Folders of frames are read snippet by snippet, video files decoded one by a thread (pytsn/data/decoded_snippets.py).
    Raises the first error met in video order, and PytsnError when a snippet's images differ in size from the video's
    first one.
    """
    with ReadingThreads(threads, "read") as pool:
        queue: deque[tuple[Video, list[Future]]] = deque()
        sizes: deque[int] = deque()
        stop = threading.Event()
        try:
            for video in videos:
                ticks = dict.fromkeys(video_ticks(video, options))  # a short video repeats its ticks: read once
                reading: list[Future]
                if video.is_file:
                    reading = [pool.submit(decode_snippets, video, list(ticks), options, stop)]
                else:
                    reading = [pool.submit(read_snippet, video, tick, options) for tick in ticks]
                queue.append((video, reading))
                sizes.append(len(ticks))
                while sum(sizes) > (max(READ_AHEAD, DECODE_AHEAD * threads) if video.is_file else READ_AHEAD):
                    sizes.popleft()
                    yield _taken(*queue.popleft())
            while queue:
                yield _taken(*queue.popleft())
        finally:
            stop.set()  # the flow of a video takes a while


def decode_snippets(
    video: Video, ticks: Sequence[int], options: SnippetOptions, stop: threading.Event | None = None
) -> np.ndarray:
    """All snippets of a video file, uint8 (T, C, H, W), of ticks in rising order: the bytes that an extraction to JPEGs
    of options.frame_size would have given. ``stop``: once it is set, what is there is enough, for nobody will look.

    Raises PytsnError as ``video_snippets``, and without options.flow where flow is needed.
    """
    stream = options.modality
    if MODALITIES[stream].is_flow:
        if options.flow is None:
            raise PytsnError(f"{video.folder}: a video file, its flow has to be computed: SnippetOptions.flow says how")
        stream = options.flow.stream
    count = video.frame_count(options.modality)
    found = video_snippets(video.folder, {stream: ticks}, count, options.flow, size=options.frame_size)
    if stop is not None:
        found = itertools.takewhile(lambda _: not stop.is_set(), found)
    return np.stack([planes for _, planes in found])  # T x (C, H, W) -> (T, C, H, W)


def _taken(video: Video, futures: list[Future]) -> tuple[Video, np.ndarray]:
    return video, futures[0].result() if video.is_file else _stacked(futures)


def _stacked(futures: list[Future]) -> np.ndarray:
    snippets = [future.result() for future in futures]
    (_, (height, width), first) = snippets[0]
    for _, size, path in snippets:
        if size != (height, width):
            raise PytsnError(f"{path}: {size[1]}x{size[0]} pixels, but {first} of the same video has {width}x{height}")
    return np.stack([planes for planes, _, _ in snippets])  # T x (C, H, W) -> (T, C, H, W)

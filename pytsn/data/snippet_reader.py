"""Reading the snippets of many videos ahead of the net that scores them, in memory bounded by a constant."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_images import frame_path, read_flow_stack, read_rgb_stack
from pytsn.data.modalities import MODALITIES, PREFIXES
from pytsn.data.rate_ticks import rate_ticks
from pytsn.data.snippet_ticks import flow_indices, frame_ticks
from pytsn.data.ten_crops import FRAME_SIZE, resize
from pytsn.data.videos import Video

#: snippets read ahead of the net: at 0.9 MB for one of flow, 60 MB; at 1.6 MB for one of rgbdiff, 100 MB
READ_AHEAD = 64


@dataclass(frozen=True)
class SnippetOptions:
    """Which snippets of a video are read, and under what file names: prefixes, which ``ext`` goes with, or whole
    patterns in their place (pytsn/data/frame_names.py).

    num_frames snippets spread over the video or, given snippet_rate, so many a second: of a video of video_fps frames a
    second or, where that is None, of as many as its frames and its duration make.
    """

    modality: str = "rgb"
    num_frames: int = 25
    rgb_prefix: str = PREFIXES[0]
    flow_x_prefix: str = PREFIXES[1]
    flow_y_prefix: str = PREFIXES[2]
    ext: str = "jpg"
    snippet_rate: Fraction | None = None
    video_fps: Fraction | None = None

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
    if video.duration is None:
        raise PytsnError("its duration is not known; tell the frame rate by --video_fps")
    return count / Fraction(video.duration)


def read_snippet(video: Video, tick: int, options: SnippetOptions) -> tuple[np.ndarray, tuple[int, int], str]:
    """One snippet as planes uint8 (C, 256, 340), the height and width it had on disk, and the path of its first file.

    Planes: B, G, R of each rgb frame (one, or six for rgbdiff, which are subtracted once they are cropped); x and y in
    turn of a flow stack. Numbers stop at the video's last frame. Resized by ``cv2.resize`` on uint8. Raises PytsnError
    that names the file and what is wrong with it.
    """
    before = video.first_number(options.modality) - 1  # a folder numbered from 0 has frame 1 in file 0
    numbers = flow_indices(tick, video.frame_count(options.modality), options.stack)
    indices = [number + before for number in numbers]
    if MODALITIES[options.modality].is_flow:
        stack = read_flow_stack(video.folder, options.flow_x_prefix, options.flow_y_prefix, indices, options.ext)
        planes = np.stack([resize(plane, FRAME_SIZE) for plane in stack])
        return planes, stack.shape[1:3], frame_path(video.folder, options.flow_x_prefix, indices[0], options.ext)
    stack = read_rgb_stack(video.folder, options.rgb_prefix, indices, options.ext)
    frames = [resize(frame, FRAME_SIZE).transpose(2, 0, 1) for frame in stack]  # L x (H, W, 3) -> L x (3, H, W)
    path = frame_path(video.folder, options.rgb_prefix, indices[0], options.ext)
    return np.concatenate(frames), stack.shape[1:3], path  # -> (3 L, H, W)


def read_videos(
    videos: Iterable[Video], options: SnippetOptions, threads: int = 2
) -> Generator[tuple[Video, np.ndarray], None, None]:
    """Each video with its snippets, uint8 (T, C, 256, 340), T distinct ticks in order; reading runs ahead in threads.

    Raises the first error met in video order, and PytsnError when a snippet's images differ in size from the video's
    first one.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="read") as pool:
        queue: deque[tuple[Video, list[Future]]] = deque()
        waiting = 0
        try:
            for video in videos:
                ticks = dict.fromkeys(video_ticks(video, options))  # a short video repeats its ticks: read once
                queue.append((video, [pool.submit(read_snippet, video, tick, options) for tick in ticks]))
                waiting += len(ticks)
                while waiting > READ_AHEAD:
                    done, futures = queue.popleft()
                    waiting -= len(futures)
                    yield done, _stacked(futures)
            while queue:
                done, futures = queue.popleft()
                yield done, _stacked(futures)
        finally:
            for _, futures in queue:
                for future in futures:
                    future.cancel()


def _stacked(futures: list[Future]) -> np.ndarray:
    snippets = [future.result() for future in futures]
    (_, (height, width), first) = snippets[0]
    for _, size, path in snippets:
        if size != (height, width):
            raise PytsnError(f"{path}: {size[1]}x{size[0]} pixels, but {first} of the same video has {width}x{height}")
    return np.stack([planes for planes, _, _ in snippets])  # T x (C, H, W) -> (T, C, H, W)

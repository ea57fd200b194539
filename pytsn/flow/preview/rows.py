"""The rows of a contact sheet of flow: a few pairs of frames of a video, or of a folder of extracted images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_images import load_cv2, read_flow_stack, read_rgb
from pytsn.data.frame_names import Numbering, check_numbering
from pytsn.data.frame_store import number_frames
from pytsn.data.modalities import FLOW, RGB
from pytsn.data.video_file import VideoFrames, check_frame
from pytsn.flow.methods import FlowFunction
from pytsn.flow.quantise import FLOW_BOUND, dequantise_flow, quantise_flow
from pytsn.flow.warp.camera_motion import WarpResult, warped_flow

#: grey levels that zero motion may have become: 0 pixels lie half-way between them
_STILL_LEVELS = (127, 128)


@dataclass(frozen=True)
class PreviewRow:
    """One row of the sheet, H and W as the frames'.

    number: of the pair, like its images, from 1 or from 0: frames ``number`` and ``number + 1`` of the video. frame:
    uint8 (H, W, 3) BGR, the pair's second frame; None if a folder has no such images. flow: float32 (H, W, 2), pixels.
    image_x, image_y: uint8 (H, W), as stored. warp: the flow without the camera's motion, if asked for.
    """

    number: int
    frame: np.ndarray | None
    flow: np.ndarray
    image_x: np.ndarray
    image_y: np.ndarray
    warp: WarpResult | None = None


def spread(pairs: int, rows: int) -> list[int]:
    """Numbers of at most ``rows`` pairs out of 1..pairs: the midpoints of as many equal parts."""
    rows = min(rows, pairs)
    return [(2 * row + 1) * pairs // (2 * rows) + 1 for row in range(rows)]


def pick_numbers(source: str, pairs: int, rows: int, numbers: Sequence[int] | None, first: int = 1) -> list[int]:
    """The pairs to show: ``numbers`` if given, each once and sorted, else ``rows`` spread evenly. first: the number of
    the first pair.

    Raises PytsnError naming the source for numbers that it does not have.
    """
    if not numbers:
        return [number - 1 + first for number in spread(pairs, rows)]
    last = first + pairs - 1
    outside = [number for number in numbers if not first <= number <= last]
    if outside:
        raise PytsnError(f"{source}: no pair {outside[0]}; its pairs of frames are numbered {first} to {last}")
    return sorted(set(numbers))


def count_pairs(video: VideoFrames, progress=iter) -> int:
    """Counts pairs of consecutive frames by decoding all of them: the number in the container is often wrong.

    ``progress`` wraps the iteration over frames. Raises PytsnError for a video of one frame, and as VideoFrames does.
    """
    frames = sum(1 for _ in progress(video))
    if frames < 2:
        raise PytsnError(f"{video.path}: the video has one frame; flow needs two")
    return frames - 1


def video_rows(
    video: VideoFrames, numbers: Sequence[int], flow_fn: FlowFunction, warp: bool = True, bound: float = FLOW_BOUND
) -> Iterator[PreviewRow]:
    """Yields a video's rows for these pairs (sorted), in one pass over its frames, as the extractor writes them."""
    cv2 = load_cv2()
    wanted, before = set(numbers), None
    for number, frame in enumerate(video):
        if number in wanted:
            check_frame(video.path, frame)
            grays = [cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) for image in (before, frame)]
            flow = flow_fn(grays[0][None], grays[1][None])[0]  # (1, H, W, 2) -> (H, W, 2)
            result = warped_flow(grays[0], grays[1], flow_fn, flow) if warp else None
            image_x, image_y = np.moveaxis(quantise_flow(flow, bound), -1, 0)
            yield PreviewRow(number, frame, flow, image_x, image_y, result)
        if number == max(numbers):
            return
        before = frame


def number_folder_pairs(folder: str) -> Numbering:
    """The numbering of the pairs of flow images in a folder (or its zips). Raises PytsnError if there are none, if x
    and y differ, and if some are missing between others."""
    found_x, found_y = number_frames(folder, FLOW.prefixes)
    if not found_x.count or (found_x.count, found_x.first) != (found_y.count, found_y.first):
        raise PytsnError(
            f"{folder}: {found_x.count} flow_x_ and {found_y.count} flow_y_ images; flow_x_00001.jpg, ... and "
            "as many of y were expected"
        )
    for prefix, found in zip(FLOW.prefixes, (found_x, found_y), strict=True):
        check_numbering(folder, prefix, found)
    return found_x


def folder_rows(folder: str, numbers: Sequence[int], bound: float = FLOW_BOUND) -> Iterator[PreviewRow]:
    """Yields the rows of a folder of extracted images, with flow computed from the grey levels; no warped flow.

    Raises PytsnError for images that are missing or damaged, as pytsn.data.frame_images does.
    """
    colour, pairs = number_frames(folder, (RGB.prefixes[0], FLOW.prefixes[0]))
    # dense_flow gives the pair's second frame its number, denseflow, which writes the first one too, the next number
    later = int(colour.first == 0 and colour.count > pairs.count)
    for number in numbers:
        images = read_flow_stack(folder, FLOW.prefixes[0], FLOW.prefixes[1], [number])  # (2, H, W)
        flow = np.where(np.isin(images, _STILL_LEVELS), 0, dequantise_flow(images, bound))
        frame = read_rgb(folder, RGB.prefixes[0], number + later) if colour.count else None
        yield PreviewRow(number, frame, np.moveaxis(flow, 0, -1).astype(np.float32), *images)

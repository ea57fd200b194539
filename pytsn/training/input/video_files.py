"""Training from lists that name video files: frames decoded on the fly, as the images of an extraction would be.

Files are not searched but decoded from their start to the last frame that a sample needs, which is exact for every
codec and costs as much as the video is long: docs/training.md tells how much.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_size import Size
from pytsn.data.jpeg import through_jpeg
from pytsn.data.video_file import VideoFrames, is_video_file
from pytsn.data.video_folder import count_files, counting_progress
from pytsn.data.video_list import ListedVideo


def decode_images(path: str, numbers: Sequence[int], size: Size, flags: int) -> list[np.ndarray]:
    """Images ``numbers`` (from 1) of a video file, resized to (width, height) and taken through JPEG, as ``cv2.imread``
    with these flags gives them: uint8 (H, W, 3) BGR or (H, W). Image k is frame k, counted from 0.

    Raises PytsnError as VideoFrames does, and for a file that ends before one of them.
    """
    images = {number: through_jpeg(frame, flags) for number, frame in VideoFrames(path, size).numbered(set(numbers))}
    if len(images) < len(set(numbers)):
        raise PytsnError(
            f"{path}: ends before image {max(numbers)} (a video of N frames has N - 1 images); is the list's count "
            "wrong?"
        )
    return [images[number] for number in numbers]


def with_counts(videos: list[ListedVideo], source: str) -> list[ListedVideo]:
    """The videos, files that are listed without a count counted by decoding them, with a bar that moves.

    Raises PytsnError naming the first line of the list ``source`` whose file cannot be decoded.
    """
    waiting = [video.folder for video in videos if not video.frames]
    if not waiting:
        return videos
    counts, broken = count_files(list(dict.fromkeys(waiting)), counting_progress)
    for video in videos:
        if video.folder in broken:
            raise PytsnError(f"{source}, line {video.line}: {broken[video.folder]}")
    return [video if video.frames else replace(video, frames=counts[video.folder]) for video in videos]


def refuse_flow_of_files(videos: Sequence[ListedVideo], source: str) -> None:
    """Raises PytsnError naming the first line of the list ``source`` that names a video file."""
    for video in videos:
        if is_video_file(video.folder):
            raise PytsnError(
                f"{source}, line {video.line}: '{video.folder}' is a video file, and training would compute its flow "
                "anew in each epoch; extract it by build-of, and list its folder"
            )

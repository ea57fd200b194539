"""The list file of a VideoData layer: one video per line, ``folder frames label``."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from converter.errors import PytsnError
from converter.files import read_text

_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class ListedVideo:
    """``folder`` as written (relative to the current folder), the number of its frames, its class, its line."""

    folder: str
    frames: int
    label: int
    line: int


def read_video_list(path: str | os.PathLike) -> list[ListedVideo]:
    """The videos of a list, in its order; blank lines count for nothing.

    Raises PytsnError naming file and line for a line that is not three fields, for numbers that are none, for videos
    without frames and for negative labels, and for an empty list. (Caffe stops reading at such a line and trains on
    what came before.) Source: video_data_layer.cpp, DataLayerSetUp.
    """
    videos = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            videos.append(_parse_line(line, number, f"{path}, line {number}"))
    if not videos:
        raise PytsnError(f"{path}: the list holds no videos; its lines are 'folder frames label'")
    return videos


def _parse_line(line: str, number: int, where: str) -> ListedVideo:
    fields = line.split()
    if len(fields) != 3:
        raise PytsnError(f"{where}: 'folder frames label' expected, found {len(fields)} fields: {line.strip()[:80]!r}")
    try:
        frames, label = int(fields[1]), int(fields[2])
    except ValueError:
        raise PytsnError(f"{where}: frames and label must be whole numbers, found {line.strip()[:80]!r}") from None
    if not 1 <= frames <= _LARGEST:
        raise PytsnError(f"{where}: video '{fields[0]}' has {frames} frames; extract them, or leave the video out")
    if not 0 <= label <= _LARGEST:
        raise PytsnError(f"{where}: label {label} of video '{fields[0]}'; labels count from 0")
    return ListedVideo(fields[0], frames, label, number)


def check_labels(videos: Sequence[ListedVideo], classes: int, source: str) -> None:
    """Raises PytsnError naming the first line of the list ``source`` whose label is not below ``classes``."""
    for video in videos:
        if video.label >= classes:
            raise PytsnError(
                f"{source}, line {video.line}: label {video.label} of video '{video.folder}', but the net has "
                f"{classes} classes, 0 to {classes - 1}"
            )

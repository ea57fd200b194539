"""The list files that every command reads: one video per line, ``folder frames label``.

In place of the folder of frames may stand a video file. Its count, that of the images which an extraction would give (a
video of N frames gives N - 1), may be 0 or left out (``file label``, as mmaction2's lists have it): who reads such a
list counts by decoding (pytsn/data/video_folder.py).
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from converter.errors import PytsnError
from converter.files import read_text
from converter.text_table import amount
from pytsn.data.video_file import is_video_file, is_video_name

_LARGEST = 2**31 - 1
_LINE = re.compile(r"(.*\S)[ \t]+(\S+)[ \t]+(\S+)")
_UNCOUNTED = re.compile(r"(.*\S)[ \t]+([0-9]{1,18})")
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


@dataclass(frozen=True)
class ListedVideo:
    """``folder`` as written (relative to the current folder), the number of its frames, its class, its line."""

    folder: str
    frames: int
    label: int
    line: int


def read_video_list(path: str | os.PathLike, least_frames: int = 1) -> list[ListedVideo]:
    """The videos of a list, in its order; blank lines count for nothing.

    The last two fields of a line are frames and label, so a folder's path may hold spaces (``spaces_notes``). Spaces
    and tabs alike stand between fields; a byte-order mark and any line ends are fine.

    Raises PytsnError naming file and line for a line that is not three fields, for numbers that are none, for videos
    with fewer frames than ``least_frames`` (0 or 1; video files may have 0), for negative labels, and for an empty
    list. (Caffe stops reading at such a line and trains on what came before.) Source: video_data_layer.cpp,
    DataLayerSetUp.
    """
    videos = []
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            videos.append(_parse_line(line.strip(), number, f"{path}, line {number}", least_frames))
    if not videos:
        raise PytsnError(f"{path}: the list holds no videos; its lines are 'folder frames label'")
    return videos


def _parse_line(line: str, number: int, where: str, least_frames: int) -> ListedVideo:
    uncounted = _UNCOUNTED.fullmatch(line)
    if uncounted and is_video_name(os.path.basename(uncounted[1])):
        line = f"{uncounted[1]} 0 {uncounted[2]}"
    match = _LINE.fullmatch(line)
    if match is None:
        found = len(line.split())
        raise PytsnError(f"{where}: 'folder frames label' expected, found {found} fields: {line[:80]!r}")
    folder, *numbers = match.groups()
    if not all(_WHOLE.fullmatch(text) for text in numbers):
        raise PytsnError(f"{where}: frames and label must be whole numbers, found {line[:80]!r}")
    frames, label = map(int, numbers)
    if not least_frames <= frames <= _LARGEST and not (frames == 0 and is_video_file(folder)):
        raise PytsnError(f"{where}: video '{folder}' has {frames} frames; extract them, or leave the video out")
    if not 0 <= label <= _LARGEST:
        raise PytsnError(f"{where}: label {label} of video '{folder}'; labels count from 0")
    return ListedVideo(folder, frames, label, number)


def spaces_notes(videos: Sequence[ListedVideo], source: str) -> list[str]:
    """A line about folders whose paths hold spaces: Caffe takes what follows the first one for the number of frames,
    finds none, and trains on the lines before."""
    spaced = [video for video in videos if len(video.folder.split()) > 1]
    if not spaced:
        return []
    they_are = "it is" if len(spaced) == 1 else "they are"
    return [
        f"{source}: {amount(len(spaced), 'path holds', 'paths hold')} spaces, first '{spaced[0].folder}' (line "
        f"{spaced[0].line}): read as {they_are}, but Caffe would end the list there"
    ]


def check_labels(videos: Sequence[ListedVideo], classes: int, source: str) -> None:
    """Raises PytsnError naming the first line of the list ``source`` whose label is not below ``classes``."""
    for video in videos:
        if video.label >= classes:
            raise PytsnError(
                f"{source}, line {video.line}: label {video.label} of video '{video.folder}', but the net has "
                f"{classes} classes, 0 to {classes - 1}"
            )

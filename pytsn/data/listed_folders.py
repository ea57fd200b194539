"""What the folders of a list really hold, seen before any work: names in another case, numbering from 0, promises."""

from collections.abc import Sequence
from dataclasses import replace

from converter.errors import PytsnError
from pytsn.data.folder_names import case_notes, find_renamed
from pytsn.data.frame_folders import look_into
from pytsn.data.frame_names import check_numbering, frame_name
from pytsn.data.frame_store import is_frame_folder, number_frames
from pytsn.data.modalities import MODALITIES
from pytsn.data.videos import Video
from pytsn.runtime.progress import track


def look_into_listed(
    videos: Sequence[Video], modality: str, kinds: tuple[str, str, str], source: str
) -> tuple[list[Video], list[str]]:
    """The videos of the list ``source`` with their folders as they are called on disk and the numbers of their first
    images, and lines for the user. A folder without any image of the modality has a count of 0; a missing one stays.

    kinds: of rgb, flow x and flow y files. Raises PytsnError naming list and line where a folder holds fewer images
    than the list says, and as ``look_into`` and ``find_renamed``.
    """
    renamed = find_renamed([video.folder for video in videos])
    videos = [replace(video, folder=renamed.get(video.folder, video.folder)) for video in videos]
    looked = track(videos, "looking into folders", unit="folder", leave=False)
    there = [_seen(video, modality, kinds, source) if is_frame_folder(video.folder) else video for video in looked]
    return there, case_notes(renamed)


def numbering_notes(videos: Sequence[Video], modality: str) -> list[str]:
    """A line where frames are numbered from 0, which the original's never are; none otherwise."""
    found = [video for video in videos if video.first_number(modality) == 0]
    if not found:
        return []
    some = "" if len(found) == len(videos) else f" in {len(found)} of {len(videos)} folders, first {found[0].folder}"
    return [f"frames are numbered from 0{some}"]


def _seen(video: Video, modality: str, kinds: tuple[str, str, str], source: str) -> Video:
    row = MODALITIES[modality]
    if row.is_flow:
        found = look_into(video.folder, kinds, ("flow",), f"video '{video.name}': ")
        kind, count, first = kinds[1], found.flow_count, found.flow_first
    else:
        (numbers,) = number_frames(video.folder, kinds[:1])
        check_numbering(video.folder, kinds[0], numbers)
        kind, count, first = kinds[0], numbers.count, numbers.first
    listed = video.frame_count(modality)
    if row.is_flow and first == 0 and listed == count + 1:
        listed = count  # denseflow writes one more image than pairs, and lists often have the number of images
    if count and listed > count:
        names = f"{frame_name(kind, first)} to {frame_name(kind, first + count - 1)}"
        raise PytsnError(
            f"{source}, line {video.line}: {listed} {row.images.title} listed, but {video.folder} has {count}, {names};"
            " correct the line, or extract the video again"
        )
    if row.is_flow:
        return replace(video, flow_count=min(listed, count), flow_first=first)
    return replace(video, rgb_count=min(listed, count), rgb_first=first)

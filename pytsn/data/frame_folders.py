"""Which videos a split holds, and which folder of frames belongs to each.

The split files and the folder layout are the original's (``pyActionRecog/benchmark_db.py``); ``custom`` lists are
those of the VideoData layer (pytsn/data/video_list.py).
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from converter.errors import PytsnError
from converter.files import explain_os_error
from converter.text_table import amount
from pytsn.data.folder_names import case_notes, match_regardless_of_case
from pytsn.data.frame_names import check_numbering, is_frame
from pytsn.data.frame_store import archive_name, is_frame_folder, number_frames
from pytsn.data.modalities import IMAGES, MODALITIES, PREFIXES
from pytsn.data.splits import Entry
from pytsn.data.video_file import is_video_file
from pytsn.data.video_list import read_video_list
from pytsn.data.videos import FrameFolder, Video

Report = Callable[[str], object]

_NUMBERED_IMAGE = re.compile(r".*[0-9].*\.(?:jpe?g|png|bmp|webp)", re.IGNORECASE)


def parse_directory(
    frame_path: str,
    rgb_prefix: str = PREFIXES[0],
    flow_x_prefix: str = PREFIXES[1],
    flow_y_prefix: str = PREFIXES[2],
    names: Iterable[str] | None = None,
    report: Report | None = None,
    images: Iterable[str] = tuple(IMAGES),
) -> dict[str, FrameFolder]:
    """The frame folders below ``frame_path`` by video name, with the number of frames of each prefix, or pattern
    (pytsn/data/frame_names.py).

    ``names`` limits the search to those videos, which saves listing the others' files; a name that no folder has
    exactly is looked for regardless of case, see ``renamed_notes``. Folders may also lie one level deeper, in one
    folder per class (a folder that holds nothing but folders). Zip archives count as the files in them
    (pytsn/data/frame_store.py); a VIDEO.zip goes under the folder's path that it stands for, without ``.zip``.
    ``report`` is called with the lines that the original prints. Order: by name.

    Raises PytsnError when a folder or archive cannot be read, when x and y flow images of a video differ in number,
    when frames of the ``images`` (rgb, flow) are missing between others, when two folders carry one video's name, and
    for two folders, or two names, that differ in case alone.
    """
    report = report or (lambda line: None)
    wanted = None if names is None else set(names)
    report(f"parse frames under folder {frame_path}")
    folders: dict[str, FrameFolder] = {}
    kinds = (rgb_prefix, flow_x_prefix, flow_y_prefix)
    for index, (name, path) in enumerate(_video_folders(frame_path, wanted, {archive_name(item) for item in kinds})):
        if name in folders:
            raise PytsnError(f"video '{name}' has two frame folders: {folders[name].path} and {path}; remove one")
        folders[name] = look_into(path, kinds, images, f"video '{name}': ")
        if index % 200 == 0:
            report(f"{index} videos parsed")
    report("frame folder analysis done")
    return folders


def look_into(path: str, kinds: Sequence[str], images: Iterable[str] = tuple(IMAGES), label: str = "") -> FrameFolder:
    """What a folder of frames holds of the kinds rgb, flow x and flow y (prefixes or patterns).

    Raises PytsnError, after ``label``, when x and y flow images differ in number, and when frames of the ``images``
    (rgb, flow) are missing between others.
    """
    rgb, flow_x, flow_y = found = number_frames(path, kinds)
    if (flow_x.count, flow_x.first) != (flow_y.count, flow_y.first):
        raise PytsnError(
            f"{label}{flow_x.count} x and {flow_y.count} y flow images in {path}"
            f"{_starts(flow_x.first, flow_y.first)}; extract its flow again"
        )
    for kind, item, name in zip(kinds, found, ("rgb", "flow", "flow"), strict=True):
        if name in images:
            check_numbering(path, kind, item)
    return FrameFolder(path, rgb.count, flow_x.count, rgb.first, flow_x.first)


def _starts(first_x: int, first_y: int) -> str:
    return "" if first_x == first_y else f", numbered from {first_x} and from {first_y}"


def renamed_notes(folders: Mapping[str, FrameFolder]) -> list[str]:
    """A line about the videos of ``parse_directory`` whose folders' names differ from theirs in case."""
    return case_notes({name: item.path for name, item in folders.items() if _bare(item.path) != _bare(name)})


def _bare(path: str) -> str:
    path = os.path.splitext(path)[0] if is_video_file(path) else path
    return os.path.basename(path).removeprefix("v_")  # ActivityNet's folders are called ID or v_ID


def parse_list_file(path: str | os.PathLike) -> list[Video]:
    """The videos of a ``custom`` list, a line ``path count label`` each (pytsn/data/video_list.py); a count of 0 stands
    for a video without frames.

    The path, when relative, starts from the current folder as it does in Caffe. The count stands for both modalities. A
    video is named by its folder's name, or by its path as written when two folders share a name. Raises PytsnError that
    names the file and line.
    """
    rows = read_video_list(path, least_frames=0)
    folders = [row.folder for row in rows]
    _refuse_repeats(folders, path)
    base_names = [os.path.basename(folder.rstrip("/")) for folder in folders]
    names = base_names if len(set(base_names)) == len(base_names) else folders
    return [
        Video(name, row.label, row.folder, row.frames, row.frames, line=row.line)
        for name, row in zip(names, rows, strict=True)
    ]


def make_videos(entries: Sequence[Entry], folders: dict[str, FrameFolder]) -> list[Video]:
    """The entries of a split that have a frame folder, as videos, in the split's order."""
    found = [(name, label, folders[name]) for name, label in entries if name in folders]
    return [
        Video(
            name,
            label,
            item.path,
            item.rgb_count,
            item.flow_count,
            rgb_first=item.rgb_first,
            flow_first=item.flow_first,
        )
        for name, label, item in found
    ]


def find_missing(videos: Sequence[Video], modality: str, entries: Sequence[Entry] = ()) -> list[str]:
    """Names of videos that cannot be evaluated: those of ``entries`` without a folder, then those of ``videos`` whose
    folder is absent or holds no image of the modality (an extraction that failed leaves such folders), or fewer than
    two for rgbdiff."""
    known, least = {video.name for video in videos}, MODALITIES[modality].least_frames
    absent = [name for name, _ in entries if name not in known]
    return absent + [
        video.name
        for video in videos
        if video.frame_count(modality) < least or not (video.is_file or is_frame_folder(video.folder))
    ]


def missing_message(missing: Sequence[str], total: int, where: str, least: int = 1) -> str:
    """One line: how many of ``total`` videos have no frames in ``where``, or fewer than ``least``, and the first ten of
    them."""
    lack = "no frames" if least == 1 else f"fewer than {least} frames"
    shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
    have = amount(len(missing), f"of {total} videos has", f"of {total} videos have")
    return f"{have} {lack} in {where}: {shown}"


def naming_hint(folders: Iterable[str], kinds: Sequence[str]) -> str:
    """What to do where folders hold numbered images of other names than the kinds', by an example; "" where none do."""
    for folder in folders:
        if not os.path.isdir(folder):
            continue
        others = [name for name in sorted(os.listdir(folder)) if _NUMBERED_IMAGE.fullmatch(name)]
        if others and not any(is_frame(kind, name) for name in others for kind in kinds):
            return f"{folder} holds files such as {others[0]}: name them by --frame_pattern or --flow_pattern"
    return ""


def _video_folders(root: str, wanted: set[str] | None, kinds: set[str]) -> list[tuple[str, str]]:
    """Names and paths; ``kinds``: names of archives that lie inside a video's folder."""
    found: list[tuple[str, str]] = []
    others: list[tuple[str, str]] = []
    for name in _members(root, kinds):
        path = os.path.join(root, name)
        if wanted is not None and name in wanted:
            found.append((name, path))
            continue
        members = [(name, path)]
        if _holds_only_videos(path, kinds):  # a class folder
            members = [(inner, os.path.join(path, inner)) for inner in _members(path, kinds)]
        for member in members:
            (found if wanted is None or member[0] in wanted else others).append(member)
    if wanted is not None and others:
        absent = wanted.difference(name for name, _ in found)
        found += match_regardless_of_case(absent, others).items()
    return sorted(found)


def _members(path: str, kinds: set[str]) -> list[str]:
    """Names of the folders in ``path``, and of the archives without ``.zip``, sorted; hidden ones are left out."""
    try:
        with os.scandir(path) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            names = {entry.name for entry in shown if entry.is_dir()}
            names.update(entry.name.removesuffix(".zip") for entry in shown if _is_video_archive(entry, kinds))
    except OSError as error:
        raise explain_os_error(error, path) from None
    return sorted(names)


def _is_video_archive(entry: os.DirEntry, kinds: set[str]) -> bool:
    return entry.name.endswith(".zip") and entry.name not in kinds and entry.is_file()


def _holds_only_videos(path: str, kinds: set[str]) -> bool:
    """Whether everything in the folder is a folder or a video's archive, and something is."""
    if not os.path.isdir(path):
        return False
    try:
        with os.scandir(path) as entries:  # stops at the first file: one look suffices for a folder of frames
            empty = True
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if not entry.is_dir() and not _is_video_archive(entry, kinds):
                    return False
                empty = False
    except OSError as error:  # a link to itself is one
        raise explain_os_error(error, error.filename or path) from None
    return not empty


def _refuse_repeats(folders: Sequence[str], path: str | os.PathLike) -> None:
    repeated = [folder for folder, times in Counter(folders).items() if times > 1]
    if repeated:
        raise PytsnError(f"{path}: '{repeated[0]}' is listed twice ({len(repeated)} such); keep one line per video")

"""Which videos a split holds, and which folder of frames belongs to each.

The split files and the folder layout are the original's (``pyActionRecog/benchmark_db.py``); ``custom`` lists are
those of the VideoData layer, ``path count label`` per line.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from converter.errors import PytsnError
from converter.files import explain_os_error, read_text
from pytsn.data.frame_store import archive_name, count_frames, is_frame_folder
from pytsn.data.modalities import MODALITIES
from pytsn.data.splits import Entry
from pytsn.data.videos import FrameFolder, Video

Report = Callable[[str], object]


def parse_directory(
    frame_path: str,
    rgb_prefix: str = "img_",
    flow_x_prefix: str = "flow_x_",
    flow_y_prefix: str = "flow_y_",
    names: Iterable[str] | None = None,
    report: Report | None = None,
) -> dict[str, FrameFolder]:
    """The frame folders below ``frame_path`` by video name, with the number of frames of each prefix.

    ``names`` limits the search to those videos, which saves listing the others' files. Folders may also lie one level
    deeper, in one folder per class (a folder that holds nothing but folders). Zip archives count as the files in them
    (pytsn/data/frame_store.py); a VIDEO.zip goes under the folder's path that it stands for, without ``.zip``.
    ``report`` is called with the lines that the original prints. Order: by name.

    Raises PytsnError when a folder or archive cannot be read, when x and y flow images of a video differ in number, and
    when two folders carry one video's name.
    """
    report = report or (lambda line: None)
    wanted = None if names is None else set(names)
    report(f"parse frames under folder {frame_path}")
    folders: dict[str, FrameFolder] = {}
    prefixes = (rgb_prefix, flow_x_prefix, flow_y_prefix)
    for index, (name, path) in enumerate(_video_folders(frame_path, wanted, {archive_name(item) for item in prefixes})):
        if name in folders:
            raise PytsnError(f"video '{name}' has two frame folders: {folders[name].path} and {path}; remove one")
        rgb, flow_x, flow_y = count_frames(path, prefixes)
        if flow_x != flow_y:
            raise PytsnError(f"video '{name}': {flow_x} x and {flow_y} y flow images in {path}; extract its flow again")
        folders[name] = FrameFolder(path, rgb, flow_x)
        if index % 200 == 0:
            report(f"{index} videos parsed")
    report("frame folder analysis done")
    return folders


def parse_list_file(path: str | os.PathLike) -> list[Video]:
    """The videos of a ``custom`` list: one ``path count label`` per line, as VideoData reads it.

    The path may hold spaces (the last two fields are count and label) and, when relative, starts from the current
    folder as it does in Caffe. The count stands for both modalities. A video is named by its folder's name, or by
    its path as written when two folders share a name. Raises PytsnError that names the file and line.
    """
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            rows.append(_parse_list_line(line, f"{path}, line {number}"))
    if not rows:
        raise PytsnError(f"{path}: the list holds no videos; lines are 'path count label'")
    folders = [folder for folder, _, _ in rows]
    _refuse_repeats(folders, path)
    base_names = [os.path.basename(folder.rstrip("/")) for folder in folders]
    names = base_names if len(set(base_names)) == len(base_names) else folders
    return [Video(name, label, folder, count, count) for name, (folder, count, label) in zip(names, rows, strict=True)]


def make_videos(entries: Sequence[Entry], folders: dict[str, FrameFolder]) -> list[Video]:
    """The entries of a split that have a frame folder, as videos, in the split's order."""
    found = [(name, label, folders[name]) for name, label in entries if name in folders]
    return [Video(name, label, item.path, item.rgb_count, item.flow_count) for name, label, item in found]


def find_missing(videos: Sequence[Video], modality: str, entries: Sequence[Entry] = ()) -> list[str]:
    """Names of videos that cannot be evaluated: those of ``entries`` without a folder, then those of ``videos`` whose
    folder is absent or holds no image of the modality (an extraction that failed leaves such folders), or fewer than
    two for rgbdiff."""
    known, least = {video.name for video in videos}, MODALITIES[modality].least_frames
    absent = [name for name, _ in entries if name not in known]
    return absent + [
        video.name for video in videos if video.frame_count(modality) < least or not is_frame_folder(video.folder)
    ]


def missing_message(missing: Sequence[str], total: int, where: str, least: int = 1) -> str:
    """One line: how many of ``total`` videos have no frames in ``where``, or fewer than ``least``, and the first ten of
    them."""
    lack = "no frames" if least == 1 else f"fewer than {least} frames"
    shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
    return f"{len(missing)} of {total} videos have {lack} in {where}: {shown}"


def _video_folders(root: str, wanted: set[str] | None, kinds: set[str]) -> list[tuple[str, str]]:
    """Names and paths; ``kinds``: names of archives that lie inside a video's folder."""
    found = []
    for name in _members(root, kinds):
        path = os.path.join(root, name)
        if wanted is not None and name in wanted:
            found.append((name, path))
        elif _holds_only_videos(path, kinds):  # a class folder
            members = [(inner, os.path.join(path, inner)) for inner in _members(path, kinds)]
            found += [member for member in members if wanted is None or member[0] in wanted]
        elif wanted is None:
            found.append((name, path))
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
    with os.scandir(path) as entries:  # stops at the first file: one look suffices for a folder of frames
        empty = True
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if not entry.is_dir() and not _is_video_archive(entry, kinds):
                return False
            empty = False
    return not empty


def _parse_list_line(line: str, where: str) -> tuple[str, int, int]:
    fields = line.rsplit(maxsplit=2)
    if len(fields) != 3 or not fields[1].isdecimal() or not fields[2].isdecimal():
        raise PytsnError(f"{where}: '{line.strip()}' is not 'path count label' (whole numbers from 0)")
    return fields[0].strip(), int(fields[1]), int(fields[2])


def _refuse_repeats(folders: Sequence[str], path: str | os.PathLike) -> None:
    repeated = [folder for folder, times in Counter(folders).items() if times > 1]
    if repeated:
        raise PytsnError(f"{path}: '{repeated[0]}' is listed twice ({len(repeated)} such); keep one line per video")

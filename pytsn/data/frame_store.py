"""Where frames lie: in a folder of image files, or in zip archives as dense_flow writes them (``--out_format zip``).

A frame is named by its video's folder and the file name that it has there, ``flow_x_00007.jpg`` say. It is taken from

1. ``FOLDER/flow_x_00007.jpg``;
2. ``FOLDER/flow_x.zip``, as its entry ``flow_x_00007.jpg`` or ``x_00007.jpg``. The archive is called as the file is up
   to the underscore before its number, and the shorter entry keeps the last word of that: dense_flow writes img.zip
   (img_00007.jpg), flow_x.zip (x_00007.jpg) and flow_y.zip (y_00007.jpg). Source: tools/extract_flow_gpu.cpp there;
3. ``FOLDER.zip`` where there is no FOLDER: one archive a video, entry ``flow_x_00007.jpg``, bare or below the video's
   name. ``FOLDER`` may also be written with its ``.zip``.

Files win: where FOLDER has files of a kind, the archive of that kind is not looked at. So a folder that was used before
gives the same frames after somebody puts an archive beside them, and no video is read half from one extraction and half
from another.

Entries are read by their exact names, into memory; nothing is unpacked onto the disk.
"""

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from converter.errors import PytsnError
from converter.files import explain_os_error, open_regular
from pytsn.data.frame_names import Numbering, frame_numbers, is_frame, kind_prefix, numbering, short_kind
from pytsn.data.zip_entries import read_entry, zip_directory

#: flow_x_00007.jpg: what it shows, the number with what stands before and after it
_NUMBERED = re.compile(r"(.*?)(_*)(\d+(?:\.[^.]*)?)")


class _Place(NamedTuple):
    archive: str
    entry: str


def read_frame(folder: str, name: str) -> bytes:
    """The bytes of the image file ``name`` of a video's folder, from the file or from an archive.

    Raises PytsnError that names the file when it is not there, with what its folder has instead, and the archive and
    the entry for an archive that is cut short or no archive, lacks the entry, or holds it damaged (length or CRC),
    encrypted or packed by an unusual method.
    """
    path = os.path.join(folder, name)
    try:
        with open_regular(path) as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError) as error:
        place = _find(folder, name)
        if place is None:
            raise PytsnError(f"{explain_os_error(error, path)}{_what_is_there(folder, name)}") from None
    except OSError as error:
        raise explain_os_error(error, path) from None
    return read_entry(*place)


def has_frame(folder: str, name: str) -> bool:
    """Whether ``read_frame`` finds the frame. Raises PytsnError for an archive that cannot be read."""
    if os.path.exists(os.path.join(folder, name)):
        return True
    place = _find(folder, name)
    return place is not None and place.entry in zip_directory(place.archive)


def frame_source(folder: str, name: str) -> str:
    """Where the frame is, for messages: ``FOLDER/img_00001.jpg`` or ``FOLDER/img.zip, entry img_00001.jpg``."""
    path = os.path.join(folder, name)
    place = None if os.path.exists(path) else _find(folder, name)
    return path if place is None else f"{place.archive}, entry {place.entry}"


def number_frames(folder: str, kinds: Sequence[str]) -> list[Numbering]:
    """How a video's folder numbers its frames of each kind (pytsn/data/frame_names.py), and how many there are: files,
    or where there are none, entries of the archive of that kind.

    Raises PytsnError for a folder, or archive, that cannot be read.
    """
    if not os.path.isdir(folder) and os.path.isfile(_video_archive(folder)):
        inside = f"{_video_name(folder)}/"
        names = [name.removeprefix(inside) for name in zip_directory(_video_archive(folder))]
        return [numbering(frame_numbers(kind, names)) for kind in kinds]
    names = _list(folder)
    return [numbering(frame_numbers(kind, names) or _entry_numbers(folder, names, kind)) for kind in kinds]


def count_frames(folder: str, kinds: Sequence[str]) -> list[int]:
    """How many frames a video's folder has of each kind. Raises PytsnError as ``number_frames``."""
    return [found.count for found in number_frames(folder, kinds)]


def archive_name(kind: str) -> str:
    """The archive, in a video's folder, of the frames of a kind: ``flow_x_`` -> ``flow_x.zip``."""
    match = _NUMBERED.fullmatch(f"{kind_prefix(kind)}1")
    assert match is not None  # it ends in a digit
    return f"{match[1]}.zip"


def is_frame_folder(folder: str) -> bool:
    """Whether the video's folder is there, or the archive that stands for it."""
    return os.path.isdir(folder) or os.path.isfile(_video_archive(folder))


def _what_is_there(folder: str, name: str) -> str:
    """For the message about a frame that is absent: the frames of its kind that the folder has."""
    match = _NUMBERED.fullmatch(name)
    if match is None or not os.path.isdir(folder or "."):
        return ""
    found = sorted(other for other in _list(folder or ".") if is_frame(match[1] + match[2], other))
    return f"; the folder has {len(found)} such images, {found[0]} to {found[-1]}" if found else ""


def _list(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise explain_os_error(error, folder) from None


def _entry_numbers(folder: str, names: Sequence[str], kind: str) -> list[int]:
    if archive_name(kind) not in names:
        return []
    entries = zip_directory(os.path.join(folder, archive_name(kind)))
    return [number for name in {kind, short_kind(kind)} for number in frame_numbers(name, entries)]


def _video_archive(folder: str) -> str:
    bare = folder.rstrip("/")
    return bare if bare.endswith(".zip") else f"{bare}.zip"


def _video_name(folder: str) -> str:
    return os.path.basename(_video_archive(folder)).removesuffix(".zip")


def _find(folder: str, name: str) -> _Place | None:
    """The archive that should hold the frame and its entry there, by dense_flow's name if it is there by none; None
    without an archive, or where files win."""
    folder = folder or "."
    is_folder = os.path.isdir(folder)
    archive, entries = _possible_place(folder, is_folder, name)
    if not os.path.exists(archive) or (is_folder and _files_win(folder, name)):
        return None
    directory = zip_directory(archive)
    return _Place(archive, next((entry for entry in entries if entry in directory), entries[-1]))


def _possible_place(folder: str, is_folder: bool, name: str) -> tuple[str, tuple[str, ...]]:
    """The archive, there or not, and the names that the entry may have."""
    match = _NUMBERED.fullmatch(name)
    if not is_folder or not match:
        return _video_archive(folder), (f"{_video_name(folder)}/{name}", name)
    kind, separator, rest = match.groups()
    return os.path.join(folder, f"{kind}.zip"), (name, kind[kind.rfind("_") + 1 :] + separator + rest)


def _files_win(folder: str, name: str) -> bool:
    match = _NUMBERED.fullmatch(name)
    return match is None or _has_files(folder, match[1] + match[2], os.stat(folder).st_mtime_ns)


@lru_cache(maxsize=128)
def _has_files(folder: str, prefix: str, changed: int) -> bool:
    """Whether the folder has files of a kind; ``changed``, its time of change, tells a later state from this one."""
    return any(is_frame(prefix, name) for name in _list(folder))

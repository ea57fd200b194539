"""Reads and writes the marker of a video's folder, and checks whether the folder's content is complete."""

import json
import os
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from converter.errors import PytsnError
from converter.files import explain_os_error, open_regular
from pytsn.data.zip_entries import NOT_A_ZIP
from pytsn.flow.extract.frame_writer import ARCHIVES
from pytsn.flow.extract.video import ExtractSettings
from pytsn.runtime.unfinished import changes, read_record

MARKER = ".pytsn.json"
_IMAGE = re.compile(r"(img|flow_x|flow_y)_(\d{5,})\.jpg")
_ZIPS = tuple(archive for archive, _ in ARCHIVES.values())
_JPEG_END = b"\xff\xd9"
_OF_DESKTOPS = (".DS_Store", "Thumbs.db")

#: verdicts on a folder
ABSENT, WHOLE, UNRECORDED, BROKEN, OTHER = "absent", "whole", "unrecorded", "broken", "other"


@dataclass(frozen=True)
class FolderState:
    """verdict: absent; whole; unrecorded (whole, but without a marker of its settings: made by the original tool);
    broken; other (whole, with other settings or of another video file). reason: the finding, for broken and other."""

    verdict: str
    pairs: int = 0
    reason: str = ""


def is_ours(name: str) -> bool:
    """Whether the name is a file that this extraction or the original writes, or that desktops leave behind."""
    return name == MARKER or name in _ZIPS or name in _OF_DESKTOPS or _IMAGE.fullmatch(name) is not None


def _is_data(name: str) -> bool:
    return name in _ZIPS or _IMAGE.fullmatch(name) is not None


def make_marker(
    settings: ExtractSettings, video: str, video_bytes: int, frames: int, pairs: int, total: int
) -> dict[str, object]:
    """The marker's content: the images' settings, source and number of bytes."""
    from pytsn.runtime.version import __version__

    counts = {"frames": frames, "pairs": pairs, "bytes": total}
    source = {"video": os.path.basename(video), "video_bytes": video_bytes}
    return {"pytsn": __version__, "settings": settings.as_dict(), **source, **counts}


def write_marker(folder: str, marker: dict[str, object]) -> None:
    """Writes FOLDER/.pytsn.json."""
    with open(os.path.join(folder, MARKER), "w", encoding="utf-8") as file:  # the whole folder is renamed
        json.dump(marker, file, indent=1)


def read_marker(folder: str) -> dict | None:
    """The marker, or None if it is missing or unreadable."""
    marker = read_record(os.path.join(folder, MARKER))
    return marker if marker is not None and isinstance(marker.get("settings"), dict) else None


def check_folder(folder: str, settings: ExtractSettings, video_bytes: int) -> FolderState:
    """Whether ``folder`` holds the complete images of ``settings`` for a video of ``video_bytes`` bytes.

    With a marker: names, number and bytes of the files must agree with it. Without: the images of all kinds must be
    numbered from 1 without gaps, equal in number, and none may be empty or lack the end of a JPEG (archives: they must
    have their directory).
    """
    if not os.path.isdir(folder):
        return FolderState(ABSENT)
    try:
        marker = read_marker(folder)
        if marker is None:
            return _check_unrecorded(folder, settings)
        return _check_recorded(folder, settings, video_bytes, marker)
    except PytsnError as error:
        return FolderState(BROKEN, reason=str(error))
    except OSError as error:  # a link that leads nowhere
        return FolderState(BROKEN, reason=str(explain_os_error(error, os.path.basename(error.filename or folder))))


def found_flow_type(folder: str) -> str | None:
    """The folder's flow type, tvl1 or warp_tvl1, by its marker or by whether it has frames; None: unknown."""
    marker = read_marker(folder)
    if marker is not None:
        return str(marker["settings"].get("flow_type"))
    has = {kind: _has_kind(folder, kind) for kind in ("img", "flow_x")}
    return None if not has["flow_x"] else "tvl1" if has["img"] else "warp_tvl1"


def _has_kind(folder: str, kind: str) -> bool:
    names = (f"{kind}_00001.jpg", ARCHIVES[kind][0])
    return any(os.path.exists(os.path.join(folder, name)) for name in names)


def _check_recorded(folder: str, settings: ExtractSettings, video_bytes: int, marker: dict) -> FolderState:
    wanted = settings.as_dict()
    if changed := changes(marker["settings"], wanted, wanted):
        return FolderState(OTHER, reason="; ".join(f"{name} {old}, now {new}" for name, old, new in changed))
    if marker.get("video_bytes") != video_bytes:
        return FolderState(OTHER, reason=f"video of {marker.get('video_bytes')} bytes, now {video_bytes}")
    if not isinstance(marker.get("pairs"), int):
        raise PytsnError(f"its {MARKER} has no number of pairs")
    sizes = _sizes(folder)
    zips = settings.out_format == "zip"
    pairs = _count_pairs(sizes, settings.kinds, {kind: [1] for kind in settings.kinds} if zips else None)
    if not zips and pairs != marker.get("pairs"):
        raise PytsnError(f"{pairs} of {marker.get('pairs')} pairs of images are there")
    if sum(sizes.values()) != marker.get("bytes"):
        raise PytsnError(f"its files have {sum(sizes.values())} bytes, {marker.get('bytes')} were written")
    return FolderState(WHOLE, marker["pairs"])


def _check_unrecorded(folder: str, settings: ExtractSettings) -> FolderState:
    """Checks a folder of the original tool, in either format."""
    sizes = _sizes(folder)
    zipped = any(name in sizes for name in _ZIPS)
    pairs = _count_pairs(
        sizes, settings.kinds, {kind: _zip_numbers(folder, kind) for kind in settings.kinds} if zipped else None
    )
    for name in sizes:
        if _IMAGE.fullmatch(name):
            _check_jpeg_end(os.path.join(folder, name), name)
    return FolderState(UNRECORDED, pairs)


def _sizes(folder: str) -> dict[str, int]:
    """Bytes of each image or archive in the folder."""
    with os.scandir(folder) as entries:
        return {entry.name: entry.stat().st_size for entry in entries if _is_data(entry.name)}


def _count_pairs(sizes: dict[str, int], kinds: Sequence[str], in_zips: dict[str, list[int]] | None) -> int:
    """Number of images of each kind; ``in_zips``: their numbers by kind if they are in archives. Raises PytsnError for
    an inconsistent set of files."""
    empty = sorted(name for name, size in sizes.items() if not size)
    if empty:
        raise PytsnError(f"{empty[0]} is empty ({len(empty)} such)")
    found = [match for name in sizes if (match := _IMAGE.fullmatch(name))]
    counts = in_zips or {kind: [int(match[2]) for match in found if match[1] == kind] for kind in kinds}
    for kind, numbers in counts.items():
        _check_numbers(kind, numbers)
    if len({len(numbers) for numbers in counts.values()}) > 1:
        raise PytsnError("numbers differ: " + ", ".join(f"{len(numbers)} {kind}" for kind, numbers in counts.items()))
    return len(counts[kinds[0]])


def _check_numbers(kind: str, numbers: Sequence[int]) -> None:
    if not numbers:
        raise PytsnError(f"there are no {kind} images")
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        missing = min(set(range(1, len(numbers) + 2)) - set(numbers))
        raise PytsnError(f"{kind} image {missing} is missing")


def _zip_numbers(folder: str, kind: str) -> list[int]:
    name, prefix = ARCHIVES[kind]
    try:
        with open_regular(os.path.join(folder, name)) as file, zipfile.ZipFile(file) as archive:
            entries = [re.fullmatch(rf"{prefix}(\d+)\.jpg", entry.filename) for entry in archive.infolist()]
    except FileNotFoundError:
        raise PytsnError(f"{name} is missing") from None
    except NOT_A_ZIP:
        raise PytsnError(f"{name} is not a complete zip archive") from None
    return [int(match[1]) for match in entries if match]


def _check_jpeg_end(path: str, name: str) -> None:
    with open_regular(path) as file:
        file.seek(max(0, os.path.getsize(path) - len(_JPEG_END)))
        if file.read() != _JPEG_END:
            raise PytsnError(f"{name} is cut short")

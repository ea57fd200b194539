"""What is to be predicted: video files and folders of extracted frames, found from what was named on a command line."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from converter.errors import PytsnError, printable
from converter.files import explain_os_error
from pytsn.data.frame_folders import look_into
from pytsn.data.frame_names import frame_name, is_frame, is_pattern
from pytsn.data.frame_store import archive_name, count_frames
from pytsn.data.modalities import IMAGES, PREFIXES
from pytsn.data.video_file import VIDEO_EXTENSIONS, is_video_name
from pytsn.data.videos import Video

#: of rgb, flow x and flow y files
Kinds = tuple[str, str, str]


@dataclass(frozen=True)
class Source:
    """One video: a file, or a folder (or a zip in its place) of extracted frames. ``name``: for the output, without two
    alike in one run."""

    path: str
    name: str
    is_video: bool

    @property
    def title(self) -> str:
        """The file's or folder's own name, as it can be printed."""
        return printable(os.path.basename(os.path.abspath(self.path)))


def find_sources(paths: Sequence[str], kinds: Kinds = PREFIXES) -> list[Source]:
    """The videos that the arguments stand for, in their order; each argument's sorted by path.

    kinds: of rgb, flow x and flow y files, prefixes or patterns (pytsn/data/frame_names.py).

    An argument is a video file; a folder of frames (img_00001.jpg, ... or dense_flow's img.zip, ...) or its VIDEO.zip;
    or a folder that holds videos or folders of frames, at any depth. Raises PytsnError naming an argument that is
    missing or holds neither.
    """
    found = [source for path in paths for source in _expand(path, kinds)]
    return _with_own_names(found)


def folder_video(path: str, name: str, kinds: Kinds = PREFIXES, images: Iterable[str] = tuple(IMAGES)) -> Video:
    """A folder of frames as a Video, without a label. Raises PytsnError when x and y flow images differ in number, or
    frames of the ``images`` (rgb, flow) are missing between others."""
    found = look_into(path, kinds, images)
    firsts = {"rgb_first": found.rgb_first, "flow_first": found.flow_first}
    return Video(name, 0, path, found.rgb_count, found.flow_count, **firsts)


def _expand(path: str, kinds: Kinds) -> list[Source]:
    if os.path.isfile(path):
        return [_file(path)]
    if not os.path.isdir(path):
        raise PytsnError(f"{path}: no such file or folder; a video or a folder was expected")
    found = _search(path, kinds)
    if not found:
        raise PytsnError(
            f"{path}: no videos ({', '.join(VIDEO_EXTENSIONS[:5])}, ...) and no frames ({frame_name(kinds[0], 1)}, "
            f"{frame_name(kinds[1], 1)}, or dense_flow's zips) in this folder"
        )
    return found


def _file(path: str) -> Source:
    name, extension = os.path.splitext(os.path.basename(path))
    return Source(path, printable(name), extension.lower() != ".zip")


def _search(root: str, kinds: Kinds) -> list[Source]:
    found: list[Source] = []
    for folder, folders, files in os.walk(root, onerror=_raise, followlinks=False):
        if _has_frames(files, kinds):
            found.append(Source(folder, printable(os.path.basename(os.path.abspath(folder))), False))
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [_file(os.path.join(folder, name)) for name in sorted(files) if is_video_name(name)]
        found += [_file(os.path.join(folder, name)) for name in sorted(files) if _is_frame_zip(folder, name, kinds)]
    return sorted(found, key=lambda source: source.path)


def _has_frames(files: Sequence[str], kinds: Kinds) -> bool:
    archives = {archive_name(kind) for kind in kinds}
    return any(name in archives or any(_is_kind(kind, name) for kind in kinds) for name in files)


def _is_kind(kind: str, name: str) -> bool:
    return is_frame(kind, name) if is_pattern(kind) else name.startswith(kind) and name.endswith(".jpg")


def _is_frame_zip(folder: str, name: str, kinds: Kinds) -> bool:
    """Whether it is a video's archive of frames, and not any other zip."""
    if name.startswith(".") or not name.endswith(".zip"):
        return False
    try:
        return any(count_frames(os.path.join(folder, name), kinds))
    except PytsnError:
        return False


def _raise(error: OSError) -> None:
    raise explain_os_error(error, error.filename)


def _with_own_names(sources: Sequence[Source]) -> list[Source]:
    """Videos of one name get their folder's before it, and a number where that does not tell them apart."""
    sources = list({os.path.abspath(source.path): source for source in sources}.values())
    for longer in (_with_folder, _with_number):
        times = Counter(source.name for source in sources)
        sources = [
            replace(source, name=longer(source, index)) if times[source.name] > 1 else source
            for index, source in enumerate(sources, start=1)
        ]
    return sources


def _with_folder(source: Source, index: int) -> str:
    return f"{printable(os.path.basename(os.path.dirname(os.path.abspath(source.path))))}_{source.name}"


def _with_number(source: Source, index: int) -> str:
    return f"{source.name}_{index}"

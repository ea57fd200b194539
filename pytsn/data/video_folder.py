"""Video files by name below a folder, and how many images an extraction of each would give."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from converter.errors import PytsnError
from converter.files import explain_os_error
from pytsn.data.decoded_snippets import look_through
from pytsn.data.folder_names import match_regardless_of_case
from pytsn.data.video_file import is_video_name
from pytsn.data.videos import FrameFolder, Video
from pytsn.runtime.cores import cpu_count
from pytsn.runtime.progress import track
from pytsn.runtime.reading_threads import ReadingThreads

#: wraps the paths that are counted, for a progress bar
Progress = Callable[[Sequence[str]], Iterable[str]]


def counting_progress(paths: Sequence[str]) -> Iterable[str]:
    """Wraps the paths of video files, whose frames are counted, with progress."""
    return track(paths, "counting frames", unit="video")


def find_video_files(root: str, names: Collection[str] | None = None) -> dict[str, str]:
    """The video files below ``root`` by name (the file's without its extension), at any depth, in order of their paths;
    hidden files and folders are left out.

    names: those that are wanted, None for all; one that no file has exactly is looked for regardless of case. Raises
    PytsnError for a folder that is not there, and when two files have one of these names, which are both told.
    """
    found: dict[str, str] = {}
    others = []
    for path in _video_paths(root):
        name = os.path.splitext(os.path.basename(path))[0]
        if names is not None and name not in names:
            others.append((name, path))
            continue
        if name in found:
            raise PytsnError(f"two videos are called '{name}': {found[name]} and {path}; rename or remove one")
        found[name] = path
    if names is not None and others:
        found |= match_regardless_of_case(set(names) - set(found), others)
    return found


def find_file_folders(root: str, owners: Mapping[str, str]) -> dict[str, FrameFolder]:
    """Video files below ``root`` as folders of frames whose images are not counted yet, by the names of their videos.

    owners: name of a file -> name of its video. Raises PytsnError as ``find_video_files``, and when a video has two.
    """
    found: dict[str, FrameFolder] = {}
    for name, path in find_video_files(root, owners).items():
        other = found.setdefault(owners[name], FrameFolder(path, 0, 0)).path
        if other != path:
            raise PytsnError(f"video '{owners[name]}' has two files: {other} and {path}; remove one")
    return found


def find_listed_files(root: str, videos: Sequence[Video]) -> list[Video]:
    """The videos of a list of frame folders, each with the video file of its folder's name below ``root`` instead,
    where there is one; its images are not counted yet. Raises PytsnError as ``find_video_files``."""
    names = [os.path.basename(video.folder.rstrip("/")) for video in videos]
    files = find_video_files(root, set(names))
    return [
        replace(video, folder=files[name], rgb_count=0, flow_count=0) if name in files and not video.is_file else video
        for name, video in zip(names, videos, strict=True)
    ]


def count_images(
    videos: Sequence[Video], progress: Progress = lambda paths: paths
) -> tuple[list[Video], dict[str, str]]:
    """The videos, files without a count with that of the images that an extraction would give: frames but one.

    Counting decodes every frame, because what containers announce is often wrong; files are shared out among threads.
    Second: name of each video that cannot be decoded -> why; its count stays 0.
    """
    names = {video.folder: video.name for video in videos if not video.rgb_count and video.is_file}
    counts, reasons = count_files(list(names), progress)
    counted = [
        replace(video, rgb_count=counts[video.folder], flow_count=counts[video.folder])
        if video.folder in counts
        else video
        for video in videos
    ]
    return counted, {names[path]: reason for path, reason in reasons.items()}


def count_files(
    paths: Sequence[str], progress: Progress = lambda paths: paths
) -> tuple[dict[str, int], dict[str, str]]:
    """The images that an extraction of each file would give, and why some files cannot be decoded, by path."""
    counts, broken = {}, {}
    with ReadingThreads(max(1, cpu_count()), "count") as pool:
        counted = [pool.submit(_try_count, path) for path in paths]
        for path, future in zip(progress(paths), counted, strict=True):
            found = future.result()
            if isinstance(found, int):
                counts[path] = found
            else:
                broken[path] = str(found)
    return counts, broken


def without_extensions(videos: Sequence[Video]) -> list[Video]:
    """The videos of a list, those that are files named without their extensions as their folders of frames would be,
    unless two would then have one name."""
    short = [os.path.splitext(video.name)[0] if video.is_file else video.name for video in videos]
    if len(set(short)) < len(short):
        return list(videos)
    return [replace(video, name=name) for video, name in zip(videos, short, strict=True)]


def _try_count(path: str) -> int | PytsnError:
    try:
        return look_through(path).images
    except PytsnError as error:
        return error


def _video_paths(root: str) -> list[str]:
    found, seen = [], set()
    for folder, folders, files in os.walk(root, onerror=_raise, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a folder linked into itself
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [os.path.join(folder, name) for name in files if is_video_name(name)]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise explain_os_error(error, error.filename)

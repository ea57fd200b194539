"""Finds the videos below a folder and names their folders of frames."""

import os
from collections import Counter
from collections.abc import Sequence

from converter.errors import PytsnError
from converter.files import explain_os_error
from pytsn.flow.extract.worker import VideoTask


def find_videos(source: str, extensions: Sequence[str], out: str) -> list[VideoTask]:
    """The video files in ``source`` and its subfolders (UCF101's class folders), or ``source`` itself if it is a file.

    extensions: without dots, any case. A video's name is its file name without the extension, as in the original. OUT
    (if it is inside SRC) and hidden folders are not searched. Order: the largest file first, so that no worker is left
    with a long one at the end. Raises PytsnError if there are no videos, listing the extensions found, and if two
    videos have the same name.
    """
    if os.path.isfile(source):
        return [_task(source)]
    if not os.path.isdir(source):
        raise PytsnError(f"{source}: no such file or folder; SRC is a folder of videos or one video")
    wanted = {extension.lower() for extension in extensions if extension}
    if not wanted:
        raise PytsnError("--ext names no extension; avi or mp4,mkv, say")
    files = _files(source, os.path.realpath(out))
    tasks = [_task(path) for path in files if _extension(path) in wanted]
    if not tasks:
        raise PytsnError(f"{source}: no files ending in {_dotted(wanted)} here; {_what_there_is(files)}")
    _refuse_clashes(tasks)
    return sorted(tasks, key=lambda task: (-task.size, task.name))


def _task(path: str) -> VideoTask:
    name = os.path.splitext(os.path.basename(path))[0]
    try:
        return VideoTask(path, name, os.path.getsize(path))
    except OSError:  # a dangling link: opening it will report the error
        return VideoTask(path, name, 0)


def _files(source: str, out: str) -> list[str]:
    found, seen = [], {out} - {os.path.realpath(source)}
    for folder, folders, files in os.walk(source, onerror=_raise, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # OUT, or a folder linked into itself
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [os.path.join(folder, name) for name in sorted(files) if not name.startswith(".")]
    return found


def _raise(error: OSError) -> None:
    """For os.walk, which would otherwise silently skip an unreadable folder."""
    raise explain_os_error(error, error.filename)


def _extension(path: str) -> str:
    return os.path.splitext(path)[1][1:].lower()


def _dotted(extensions: Sequence[str] | set[str]) -> str:
    return ", ".join(f".{extension}" for extension in sorted(extensions))


def _what_there_is(files: Sequence[str]) -> str:
    counts = Counter(_extension(path) for path in files if _extension(path))
    if not counts:
        return "it holds no files with an extension"
    listed = ", ".join(f"{number} .{extension}" for extension, number in counts.most_common(8))
    return f"there are {listed}: choose by --ext {counts.most_common(1)[0][0]}"


def _refuse_clashes(tasks: Sequence[VideoTask]) -> None:
    first: dict[str, str] = {}
    for task in tasks:
        if task.name in first:
            raise PytsnError(
                f"two videos are called '{task.name}': {first[task.name]} and {task.path}; "
                "OUT has one folder a name: rename one, or extract their folders into two OUTs"
            )
        first[task.name] = task.path

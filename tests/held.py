"""Programs that cannot get ahead of the test that watches them: held at a frame, a file, or every line they print.

A program started with a folder of hooks first in PYTHONPATH imports the folder's sitecustomize.py before anything else,
and so do the processes that it starts.
"""

import fcntl
import os
import subprocess
from pathlib import Path

from tests.places import ROOT

_HELD_VIDEOS = """
import os, time
from pytsn.data.video_file import VideoFrames

def held(video, frames=VideoFrames.__iter__):
    video.passes = getattr(video, "passes", 0) + 1
    name = os.path.basename(video.path)
    for number, frame in enumerate(frames(video)):
        if number == {frame} and video.passes == {in_pass} and name in {names}:
            open({folder} + "/held " + name, "w").close()
            while os.path.isdir({folder}):
                time.sleep(0.01)
        yield frame

VideoFrames.__iter__ = held
"""

_HELD_FILES = """
import os, sys, time

def held(event, arguments, names={names}, folder={folder}):
    name = names.get(arguments[0]) if event == "open" and isinstance(arguments[0], str) else None
    if name and os.path.isdir(folder):
        os.close(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT))
        while os.path.isdir(folder) and not os.path.exists(os.path.join(folder, "let go")):
            time.sleep(0.01)

sys.addaudithook(held)
"""


def hook(folder: Path, code: str) -> dict[str, str]:
    """Makes ``folder``, whose ``code`` runs at the start of each Python process with the environment that is given
    back."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    path = [str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}


def hold_videos(folder: Path, names: list[str], frame: int, in_pass: int = 1) -> dict[str, str]:
    """The environment of processes that stop for good when they come to frame ``frame`` (from 0) of one of these video
    files, read for the ``in_pass``-th time. ``folder`` then holds the file 'held NAME'."""
    values = {"names": names, "frame": frame, "in_pass": in_pass, "folder": repr(str(folder))}
    return hook(folder, _HELD_VIDEOS.format(**values))


def popen_stepwise(command: list[str], **options) -> subprocess.Popen:
    """A program (text mode) that stops at its second write to stdout that nobody has read. Linux only.

    The pipe keeps writes apart (O_DIRECT) and has room for one of them. Reading ``process.stdout`` line by line takes
    one at a time.
    """
    read_end, write_end = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
    try:
        fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 1)  # rounded up to a page, the place of one write
        process = subprocess.Popen(command, stdout=write_end, stderr=subprocess.PIPE, text=True, **options)
    finally:
        os.close(write_end)
    process.stdout = os.fdopen(read_end)
    return process


class HeldFiles:
    """Files that who opens one waits for, until the test lets go or for good, in processes with ``environment``."""

    def __init__(self, folder: Path, paths: list[Path], code: str = "") -> None:
        """``folder``: of the hooks, to be made; ``code``: also run at the start of each process."""
        self.folder = folder
        self._names = {str(path): f"held {number}" for number, path in enumerate(paths)}
        self.environment = hook(folder, code + _HELD_FILES.format(names=self._names, folder=repr(str(folder))))

    def all_wanted(self) -> bool:
        """Whether somebody waits for each."""
        return all((self.folder / name).exists() for name in self._names.values())

    def let_go(self) -> None:
        """Those who wait go on."""
        (self.folder / "let go").touch()

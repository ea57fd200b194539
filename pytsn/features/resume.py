"""Features under construction: finished videos are kept on disk, so that an interrupted run can continue."""

import os
from pathlib import Path

import numpy as np

from pytsn.features.files import FeatureIndex, check_folder, feature_kind, read_index, write_features
from pytsn.runtime.progress import Progress
from pytsn.runtime.resumable_arrays import ResumableArrays, videos_digest


class FeatureStore(ResumableArrays):
    """Features of V videos, collected in OUT.partial/ (one .npy each) and then written to OUT (features/files.py)."""

    contents, dimensions = "features", (2, 3, 4, 5)

    def __init__(self, path: str | os.PathLike, index: FeatureIndex, resume: bool = False) -> None:
        """Starts a store for ``path``, or continues that of an earlier run (``resume``): see ResumableArrays."""
        self.path, self.kind, self.ticks = Path(path), feature_kind(path), index.ticks
        if self.kind == "folder":
            check_folder(self.path)
        folder = Path(f"{os.path.abspath(path)}.partial")
        super().__init__(folder, index.names, index.labels, index.settings, resume)

    def finish(self) -> None:
        """Writes the file or folder and removes the partial folder. Raises PytsnError when a video is missing or
        writing fails; the partial folder then stays."""
        if self.finished:
            return
        index = FeatureIndex(self.names, self.labels, self.settings, self.ticks)
        with Progress(f"writing {self.path.name}", len(self.names), "video", leave=False) as progress:
            write_features(self.path, self.kind, index, lambda number: _counted(self.load(number), progress))
        self._discard()
        self.finished = True

    def _is_finished(self) -> bool:
        there = self.path.is_dir() and any(self.path.iterdir()) if self.kind == "folder" else self.path.is_file()
        if not there:
            return False
        found = read_index(self.path, self.kind)
        videos = videos_digest(found.names, found.labels)
        self._compare({"settings": found.settings, "videos": videos}, str(self.path))
        return True


def _counted(array: np.ndarray, progress: Progress) -> np.ndarray:
    progress.update()
    return array

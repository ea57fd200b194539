"""Arrays of many videos, saved as they are finished, so that an interrupted run can be resumed."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from converter.errors import PytsnError
from converter.files import explain_os_error, open_regular
from converter.npy_files import read_body, read_header
from pytsn.runtime.unfinished import as_recorded, changes, read_record, remove, write_record

_SETTINGS = "settings.json"


class ResumableArrays:
    """One float32 array per video, collected in a folder (one .npy each) until all are complete.

    Each video's file is written whole or not at all, by renaming, so several processes may add videos. On resuming, a
    file damaged by a power failure is detected and computed again. A store can be passed to other processes.
    ``contents``: the name of the arrays in messages; ``dimensions``: their allowed numbers of dimensions.
    """

    contents = "arrays"
    dimensions: tuple[int, ...] = ()

    def __init__(
        self, folder: Path, names: Sequence[str], labels: Sequence[int], settings: dict, resume: bool = False
    ) -> None:
        """Starts a store, or with ``resume`` continues that of an earlier run.

        settings: the settings that the arrays depend on, as JSON values (weights, prototxt, frames per video, ...).
        Without ``resume`` an earlier partial folder is deleted. With it, if there is no partial folder but a finished
        result (``_is_finished``), nothing is left to do. Raises PytsnError if the settings or videos of the earlier run
        differ, and if the folder cannot be written or is not one of ours.
        """
        self.folder = folder
        self.names, self.labels = tuple(names), tuple(int(label) for label in labels)
        self.settings = as_recorded(settings)
        if folder.exists() and not (folder / _SETTINGS).is_file() and not all(map(_is_half_made, folder.iterdir())):
            raise PytsnError(f"{folder}: holds other files than {self.contents}; move it away")
        if not resume:
            self._discard()
        elif (folder / _SETTINGS).is_file():
            self._compare(read_record(folder / _SETTINGS), str(folder))
        self.finished = resume and not (folder / _SETTINGS).is_file() and self._is_finished()
        if not self.finished:
            self._make_folder()

    def todo(self) -> list[int]:
        """Indices of the videos that are still missing, ascending."""
        if self.finished:
            return []
        return [index for index in range(len(self.names)) if self._try_load(index) is None]

    def add(self, index: int, array: np.ndarray) -> None:
        """Saves the array of video ``index``, as float32."""
        final = self._file(index)
        temporary = final.with_suffix(f".{os.getpid()}.tmp")
        try:
            with open(temporary, "wb") as file:  # no fsync: damage is detected, and a sync per video would cost more
                np.save(file, np.asarray(array, np.float32), allow_pickle=False)
            os.replace(temporary, final)
        except OSError as error:
            raise explain_os_error(error, final) from None

    def load(self, index: int) -> np.ndarray:
        """The array of video ``index``. Raises PytsnError if it is still missing."""
        array = self._try_load(index)
        if array is None:
            raise PytsnError(f"{self.folder}: no {self.contents} of video '{self.names[index]}' yet")
        return array

    def _is_finished(self) -> bool:
        """Whether the finished result exists, for the same videos and settings."""
        raise NotImplementedError

    def _compare(self, found: object, where: str) -> None:
        """Raises PytsnError unless ``found`` (settings, videos) matches this store."""
        own, advice = self._state(), "delete it, or leave --resume away to start again"
        if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
            raise PytsnError(f"{where}: its settings cannot be read; {advice}")
        for key, old, new in changes(found["settings"], own["settings"]):
            raise PytsnError(f"{where}: was made with {key} = {old!r}, now it is {new!r}; {advice}")
        if own["videos"] != found.get("videos"):
            raise PytsnError(f"{where}: was made for another list of videos or labels; {advice}")

    def _state(self) -> dict:
        return {"settings": self.settings, "videos": videos_digest(self.names, self.labels)}

    def _file(self, index: int) -> Path:
        return self.folder / f"{index:06d}.npy"

    def _try_load(self, index: int) -> np.ndarray | None:
        try:
            with open_regular(self._file(index)) as file:
                array = read_body(file, os.fstat(file.fileno()).st_size, read_header(file)).copy()
        except (OSError, ValueError, PytsnError):  # absent, or damaged
            return None
        return array if array.dtype == np.float32 and array.ndim in self.dimensions else None

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, self.folder) from None
        if not (self.folder / _SETTINGS).is_file():
            write_record(self.folder / _SETTINGS, self._state())

    def _discard(self) -> None:
        """Removes the folder, its settings last: what a killed run leaves of it is known as ours."""
        for path in self.folder.iterdir() if self.folder.is_dir() and not self.folder.is_symlink() else ():
            if path.name != _SETTINGS and not path.is_dir():
                path.unlink(missing_ok=True)
        remove(self.folder)


def _is_half_made(path: Path) -> bool:
    """Whether it is what a run leaves that is killed while it writes the settings (converter/files.py)."""
    return path.name.startswith(f".{Path(_SETTINGS).stem}.") and path.name.endswith(Path(_SETTINGS).suffix)


def videos_digest(names: Sequence[str], labels: Sequence[int]) -> str:
    """A short digest of videos and labels."""
    return hashlib.sha256(json.dumps([list(names), [int(label) for label in labels]]).encode()).hexdigest()

"""A score file under construction: finished videos are kept on disk, so that an interrupted evaluation can go on."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from converter.errors import PytsnError
from converter.files import explain_os_error, read_text, write_bytes
from pytsn.scores import read_scores, score_path, write_scores

_SETTINGS = "settings.json"


class ScoreStore:
    """Scores of V videos, collected in the folder F.npz.partial/ (one .npy per video) and then written as F.npz.

    Each video's file appears whole or not at all, by renaming, so videos may be added by several processes; a file
    that a power failure left damaged is noticed on resuming and evaluated again. A store may be passed to other
    processes.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        names: Sequence[str],
        labels: Sequence[int],
        settings: dict,
        resume: bool = False,
    ) -> None:
        """Starts a store for the score file ``path``, or with ``resume`` goes on with what an earlier run left.

        settings: JSON-able facts that the scores depend on (weights, prototxt, frames per video, ...). Without
        ``resume`` an earlier partial folder is thrown away. With it, and no partial folder but a finished score
        file of the same videos and settings, nothing is left to do. Raises PytsnError when the settings or videos
        of the earlier run differ, and when the folder cannot be written or is not one of ours.
        """
        self.path = score_path(path)
        self.folder = Path(f"{self.path}.partial")
        self.names, self.labels = tuple(names), tuple(int(label) for label in labels)
        self.settings = json.loads(json.dumps(settings))
        self._finished: list[np.ndarray] | None = None
        if self.folder.exists() and not (self.folder / _SETTINGS).is_file() and any(self.folder.iterdir()):
            raise PytsnError(f"{self.folder}: holds other files than scores; move it away")
        if not resume:
            self._discard()
        elif (self.folder / _SETTINGS).is_file():
            self._compare(_parse(read_text(self.folder / _SETTINGS)), str(self.folder))
        elif self.path.is_file():
            self._finished = self._load_finished()
        if self._finished is None:
            self._make_folder()

    def todo(self) -> list[int]:
        """Indices of the videos whose scores are still missing, ascending."""
        if self._finished is not None:
            return []
        return [index for index in range(len(self.names)) if self._try_load(index) is None]

    def add(self, index: int, scores: np.ndarray) -> None:
        """Keeps the scores (T, C, K) of video ``index``, as float32."""
        final = self._file(index)
        temporary = final.with_suffix(f".{os.getpid()}.tmp")
        try:
            with open(temporary, "wb") as file:  # no fsync: damage is detected, and a sync per video would cost more
                np.save(file, np.asarray(scores, np.float32), allow_pickle=False)
            os.replace(temporary, final)
        except OSError as error:
            raise explain_os_error(error, final) from None

    def load(self, index: int) -> np.ndarray:
        """The scores of video ``index``: float32 (T, C, K). Raises PytsnError when they are still missing."""
        scores = self._finished[index] if self._finished is not None else self._try_load(index)
        if scores is None:
            raise PytsnError(f"{self.folder}: no scores of video '{self.names[index]}' yet")
        return scores

    def finish(self) -> list[np.ndarray]:
        """Writes the score file, removes the folder and returns the scores of all videos.

        Raises PytsnError when a video is missing, and when the file cannot be written; the folder then stays.
        """
        scores = [self.load(index) for index in range(len(self.names))]
        if self._finished is None:
            write_scores(self.path, scores, self.labels, self.names, self.settings)
            self._discard()
            self._finished = scores
        return scores

    def _state(self) -> dict:
        listed = json.dumps([self.names, self.labels]).encode()
        return {"settings": self.settings, "videos": hashlib.sha256(listed).hexdigest()}

    def _compare(self, found: dict, where: str) -> None:
        own, advice = self._state(), "delete it, or leave --resume away to start again"
        if not isinstance(found, dict) or not isinstance(found.get("settings"), dict):
            raise PytsnError(f"{where}: its settings cannot be read; {advice}")
        for key in sorted({*own["settings"], *found["settings"]}):
            old, new = found["settings"].get(key), own["settings"].get(key)
            if old != new:
                raise PytsnError(f"{where}: was made with {key} = {old!r}, now it is {new!r}; {advice}")
        if own["videos"] != found.get("videos"):
            raise PytsnError(f"{where}: was made for another list of videos or labels; {advice}")

    def _load_finished(self) -> list[np.ndarray]:
        file = read_scores(self.path)
        listed = json.dumps([file.names, file.labels.tolist()]).encode()
        state = {"settings": file.settings, "videos": hashlib.sha256(listed).hexdigest()}
        self._compare(state, str(self.path))
        return file.scores

    def _file(self, index: int) -> Path:
        return self.folder / f"{index:06d}.npy"

    def _try_load(self, index: int) -> np.ndarray | None:
        try:
            scores = np.load(self._file(index), allow_pickle=False)
        except (OSError, ValueError, EOFError):  # absent, or damaged
            return None
        return scores if scores.dtype == np.float32 and scores.ndim == 3 else None

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise explain_os_error(error, self.folder) from None
        if not (self.folder / _SETTINGS).is_file():
            write_bytes(self.folder / _SETTINGS, json.dumps(self._state(), sort_keys=True).encode())

    def _discard(self) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None

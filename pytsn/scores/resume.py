"""A score file under construction: finished videos are kept on disk, so that an interrupted evaluation can continue."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pytsn.runtime.progress import track
from pytsn.runtime.resumable_arrays import ResumableArrays, videos_digest
from pytsn.scores.score_file import read_scores, score_path, write_scores


class ScoreStore(ResumableArrays):
    """Scores of V videos, collected in the folder F.npz.partial/ (one .npy per video) and finally written to F.npz."""

    contents, dimensions = "scores", (3,)

    def __init__(
        self,
        path: str | os.PathLike,
        names: Sequence[str],
        labels: Sequence[int],
        settings: dict,
        resume: bool = False,
    ) -> None:
        """Starts a store for the score file ``path``, or continues that of an earlier run (``resume``): see
        ResumableArrays."""
        self.path = score_path(path)
        self._finished: list[np.ndarray] | None = None
        super().__init__(Path(f"{self.path}.partial"), names, labels, settings, resume)

    def load(self, index: int) -> np.ndarray:
        """The scores of video ``index``: float32 (T, C, K). Raises PytsnError when they are still missing."""
        return self._finished[index] if self._finished is not None else super().load(index)

    def finish(self) -> list[np.ndarray]:
        """Writes the score file, removes the folder and returns the scores of all videos.

        Raises PytsnError when a video is missing, and when the file cannot be written; the folder then stays.
        """
        indices = track(range(len(self.names)), "collecting scores", unit="video", leave=False)
        scores = [self.load(index) for index in indices]
        if self._finished is None:
            write_scores(self.path, scores, self.labels, self.names, self.settings)
            self._discard()
            self._finished, self.finished = scores, True
        return scores

    def _is_finished(self) -> bool:
        if not self.path.is_file():
            return False
        file = read_scores(self.path)
        videos = videos_digest(file.names or (), file.labels.tolist())
        self._compare({"settings": file.settings, "videos": videos}, str(self.path))
        self._finished = file.scores
        return True

"""Score files: the original's ``np.savez(F, scores=..., labels=...)`` layout, plus video names and settings.

scores    object (V, 2): column 0 a float32 array (T, C, K) of T frames, C crops, K classes, before softmax;
          column 1 the label
labels    int64 (V,)
names     unicode (V,), not in the original: video names
settings  unicode (), not in the original: JSON object, how the scores were made
"""

import json
import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from converter.errors import PytsnError
from converter.files import atomic_path, explain_os_error, open_regular
from converter.text_table import amount
from pytsn.scores.npz import member_names, read_member, write_member
from pytsn.scores.pickled_arrays import RefusedPickle


@dataclass(frozen=True)
class ScoreFile:
    """The content of a score file.

    scores: V float arrays (T, C, K), T may differ between videos; labels: int64 (V,), 0 to K - 1; names: V distinct
    names, or None for a file of the original; settings: dict or None; warnings: lines for the user.
    """

    path: str
    scores: list[np.ndarray]
    labels: np.ndarray
    names: tuple[str, ...] | None = None
    settings: dict | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def num_classes(self) -> int:
        """K."""
        return self.scores[0].shape[2]

    def video(self, index: int) -> str:
        """Video ``index`` (from 0) in messages: its name, or its number (from 1) when the file has no names."""
        return f"'{self.names[index]}'" if self.names else f"number {index + 1}"


def score_path(path: str | os.PathLike) -> Path:
    """``path``, with .npz added when missing, as ``np.savez`` does in the original."""
    return Path(path) if str(path).endswith(".npz") else Path(f"{path}.npz")


def write_scores(
    path: str | os.PathLike,
    scores: Sequence[np.ndarray],
    labels: Sequence[int] | np.ndarray,
    names: Sequence[str] | None = None,
    settings: dict | None = None,
) -> Path:
    """Writes a score file, whole or not at all, and returns its path (.npz is added when missing).

    Equal content gives equal bytes. Raises PytsnError for content that ``read_scores`` would refuse, and when the file
    cannot be written.
    """
    path = score_path(path)
    if len(scores) != len(labels):
        raise PytsnError(f"{path}: scores of {len(scores)} videos, but {len(labels)} labels")
    rows = np.empty((len(scores), 2), object)
    for index, (array, label) in enumerate(zip(scores, labels, strict=True)):
        rows[index, 0], rows[index, 1] = np.asarray(array, np.float32), int(label)
    labels = np.asarray(labels, np.int64)
    _check(ScoreFile(str(path), list(rows[:, 0]), labels, None if names is None else tuple(names), settings))
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        write_member(archive, "scores", rows)
        write_member(archive, "labels", labels)
        if names is not None:
            write_member(archive, "names", np.array(names, dtype=np.str_))
        if settings is not None:
            write_member(archive, "settings", np.array(json.dumps(settings, sort_keys=True)))
    return path


def read_scores(path: str | os.PathLike) -> ScoreFile:
    """Reads a score file of this project, of the original (Python 2 pickles included) or of its Python 3 successors.

    Runs no code from the file: anything but arrays and numbers is refused. Raises PytsnError that names the file when
    it is missing, damaged, refused or not a score file, and when scores, labels and names do not agree.
    """
    try:
        with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
            file = _read_archive(str(path), archive)
    except PytsnError:
        raise
    except RefusedPickle as error:
        raise PytsnError(f"{path}: refused to read it, its pickle holds {error}") from None
    except FileNotFoundError as error:
        if not str(path).endswith(".npz") and score_path(path).is_file():
            raise PytsnError(f"{path}: no such file; did you mean {score_path(path)}?") from None
        raise explain_os_error(error, path) from None
    except OSError as error:
        raise explain_os_error(error, path) from None
    except Exception as error:  # hostile bytes may raise anything in zipfile, zlib, NumPy or pickle
        raise PytsnError(f"{path}: not a score file, or a damaged one ({type(error).__name__}: {error})") from None
    _check(file)
    return file


def _read_archive(path: str, archive: zipfile.ZipFile) -> ScoreFile:
    members = member_names(archive)
    if not {"scores", "labels"} <= members:
        found = ", ".join(sorted(members)) or "nothing"
        raise PytsnError(f"{path}: not a score file: arrays 'scores' and 'labels' are expected, it holds {found}")
    rows = read_member(path, archive, "scores")
    labels = read_member(path, archive, "labels")
    if rows.dtype != object or rows.ndim != 2 or rows.shape[1] != 2:
        raise PytsnError(f"{path}: 'scores' is {rows.dtype} {rows.shape}; objects (videos, 2) are expected")
    if labels.dtype.kind not in "iu" or labels.shape != (len(rows),):
        raise PytsnError(f"{path}: 'labels' is {labels.dtype} {labels.shape}; integers ({len(rows)},) are expected")
    wrong = [index for index, label in enumerate(rows[:, 1]) if label != labels[index]]
    if wrong:
        raise PytsnError(f"{path}: 'scores' and 'labels' give video number {wrong[0] + 1} different labels")
    names = tuple(read_member(path, archive, "names").tolist()) if "names" in members else None
    settings = json.loads(read_member(path, archive, "settings").item()) if "settings" in members else None
    scores = [_native(array) for array in rows[:, 0]]
    file = ScoreFile(path, scores, labels.astype(np.int64), names, settings)
    return ScoreFile(path, scores, file.labels, names, settings, tuple(_not_finite(file)))


def _native(array: object) -> np.ndarray:
    """Scores as float32, or float64 if the file has float64, in this machine's byte order."""
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        return np.empty(0)  # refused by _check, with the video's name
    return array.astype(np.float64 if array.dtype.itemsize == 8 else np.float32, copy=False)


def _check(file: ScoreFile) -> None:
    path, total = file.path, len(file.scores)
    if total == 0:
        raise PytsnError(f"{path}: holds no videos")
    if file.names is not None and (len(file.names) != total or not all(isinstance(name, str) for name in file.names)):
        raise PytsnError(f"{path}: {len(file.names)} video names for {total} videos")
    if file.names is not None and len(set(file.names)) != total:
        raise PytsnError(f"{path}: a video name is there twice")
    if file.settings is not None and not isinstance(file.settings, dict):
        raise PytsnError(f"{path}: 'settings' is not a JSON object")
    _check_videos(file)


def _check_videos(file: ScoreFile) -> None:
    for index, array in enumerate(file.scores):
        where = f"{file.path}: video {file.video(index)}"
        if array.ndim != 3 or 0 in array.shape:
            raise PytsnError(f"{where}: its scores are not a float array (frames, crops, classes)")
        if array.shape[2] != file.num_classes:
            raise PytsnError(f"{where} has scores of {array.shape[2]} classes, the first video of {file.num_classes}")
        if not 0 <= file.labels[index] < file.num_classes:
            raise PytsnError(f"{where} has label {file.labels[index]}, but classes are 0 to {file.num_classes - 1}")


def _not_finite(file: ScoreFile) -> list[str]:
    wrong = [file.video(index) for index, array in enumerate(file.scores) if not np.isfinite(array).all()]
    if not wrong:
        return []
    have = amount(len(wrong), "video has", "videos have")
    return [f"{file.path}: {have} scores that are not finite numbers: {', '.join(wrong[:10])}"]

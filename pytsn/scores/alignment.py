"""Aligns the score files of several streams to one order of videos, so that only scores of the same video are fused.

The original adds the files row by row without comparing them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converter.errors import PytsnError
from converter.text_table import amount
from pytsn.scores.score_file import ScoreFile


@dataclass(frozen=True)
class AlignedScores:
    """Several score files brought to one order of videos.

    names: V names or None; labels: int64 (V,); scores: for each file its V arrays (T, C, K); warnings: lines for
    the user.
    """

    names: tuple[str, ...] | None
    labels: np.ndarray
    scores: list[list[np.ndarray]]
    warnings: tuple[str, ...]

    @property
    def num_classes(self) -> int:
        """K, the same in every file."""
        return self.scores[0][0].shape[2]


def align(files: Sequence[ScoreFile]) -> AlignedScores:
    """Aligns score files with the first, by video name, or by position (with a warning) where names are absent.

    Raises PytsnError when videos, labels or numbers of classes differ; it names the videos.
    """
    first = files[0]
    notes: list[str] = []
    scores = [list(first.scores)]
    for other in files[1:]:
        if other.num_classes != first.num_classes:
            raise PytsnError(f"{first.path} has {first.num_classes} classes, {other.path} has {other.num_classes}")
        order = _order_by_name(first, other) if first.names and other.names else _order_by_place(first, other, notes)
        for index, place in enumerate(order):
            if other.labels[place] != first.labels[index]:
                raise PytsnError(
                    f"video {first.video(index)} has label {first.labels[index]} in {first.path}, but label "
                    f"{other.labels[place]} in {other.path}: they are scores of different videos or lists"
                )
        scores.append([other.scores[place] for place in order])
    notes += [note for file in files for note in file.warnings]
    return AlignedScores(first.names, first.labels, scores, tuple(notes))


def _order_by_name(first: ScoreFile, other: ScoreFile) -> list[int]:
    places = {name: place for place, name in enumerate(other.names or ())}
    for here, there in ((first, other), (other, first)):
        absent = sorted(set(here.names or ()) - set(there.names or ()))
        if absent:
            shown = ", ".join(absent[:10]) + (", ..." if len(absent) > 10 else "")
            videos = amount(len(absent), "video")
            raise PytsnError(f"{there.path}: holds no scores of {videos} of {here.path}: {shown}")
    return [places[name] for name in first.names or ()]


def _order_by_place(first: ScoreFile, other: ScoreFile, notes: list[str]) -> range:
    if len(first.scores) != len(other.scores):
        raise PytsnError(
            f"{first.path} has {len(first.scores)} videos, {other.path} has {len(other.scores)}; they can only be "
            "matched by place because video names are absent"
        )
    nameless = " and ".join(file.path for file in (first, other) if not file.names)
    notes.append(f"no video names in {nameless}: videos are matched by place; only their labels were compared")
    return range(len(first.scores))

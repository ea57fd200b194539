"""Writes the report of score files: computes, looks for frames, renders, and puts the file in place."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from converter.errors import PytsnError
from converter.files import sha256_of, write_bytes
from pytsn.data.class_names import names_of
from pytsn.data.modalities import PREFIXES
from pytsn.data.sources import Kinds
from pytsn.evaluation.fused_scores import FusedScores
from pytsn.predict.labels import number_labels, read_labels
from pytsn.report.curves import video_curves
from pytsn.report.findings import Findings, find
from pytsn.report.page import Page, WorstVideo, dataset_of, render
from pytsn.report.settings_table import settings_rows
from pytsn.report.thumbnails import Strip, find_frames, video_strip
from pytsn.runtime.progress import track
from pytsn.runtime.version import __version__

#: videos that are shown with frames and curves
WORST = 12
MOST_WORST = 200
_NO_FRAMES = "Frames are not shown: the report was made without --frames."


@dataclass(frozen=True)
class ReportOptions:
    """path: of the HTML file. labels: file of the class names, None: those of UCF101 or HMDB51 for their scores, else
    numbers. frames: root folder of the videos' frames (or video files), None: no frames. folders: the folder or file of
    each video by name, in place of ``frames``, where they are known. worst: number of videos to show. command: the
    command line, for the page. kinds: prefixes or patterns of rgb, flow x and flow y files."""

    path: str
    labels: str | None = None
    frames: str | None = None
    folders: Mapping[str, str] | None = None
    worst: int = WORST
    command: str = ""
    kinds: Kinds = PREFIXES

    def check(self, inputs: Sequence[str] = ()) -> None:
        """Raises PytsnError for what can be told before the work: a path that cannot be written, one of the ``inputs``
        (files of the command) in its place, files and folders that are not there, a senseless number of videos."""
        folder = os.path.dirname(self.path) or "."
        if not os.path.isdir(folder):
            raise PytsnError(f"{self.path}: no folder {folder} to write the report to")
        if os.path.isdir(self.path) or not os.path.basename(self.path):
            raise PytsnError(f"'{self.path}': is a folder; give the report's file name, such as report.html")
        if os.path.exists(self.path) and not os.path.isfile(self.path):
            raise PytsnError(f"{self.path}: is a device or a pipe; give the name of a file")
        if not os.access(folder, os.W_OK):
            raise PytsnError(f"{self.path}: permission denied to write to {folder}")
        for path in filter(None, (*inputs, self.labels)):
            if os.path.realpath(path) == os.path.realpath(self.path):
                raise PytsnError(f"{self.path}: is read or written here; the report needs a file name of its own")
        if self.labels is not None and not os.path.isfile(self.labels):
            raise PytsnError(f"{self.labels}: no such file; class names were expected, one a line")
        if self.frames is not None and not os.path.isdir(self.frames):
            raise PytsnError(f"{self.frames}: no such folder; --frames is the root folder of the videos' frames")
        if not 0 <= self.worst <= MOST_WORST:
            raise PytsnError(f"--worst {self.worst}: a number of videos from 0 to {MOST_WORST} was expected")


def write_report(scores: FusedScores, options: ReportOptions, digests: Sequence[str] | None = None) -> int:
    """Writes the page, whole or not at all, and returns its size in bytes. digests: sha256 of each score file, or why
    there is none; None: they are read for it.

    Raises PytsnError when no video has a label, the class names are not as many as the classes, frames are asked for
    and none of the videos has any, and when the file cannot be written.
    """
    page = make_page(scores, options, digests)
    data = render(page).encode("utf-8", "backslashreplace")
    write_bytes(options.path, data)
    return len(data)


@np.errstate(invalid="ignore")  # scores that are not finite numbers are told by a warning of their own
def make_page(scores: FusedScores, options: ReportOptions, digests: Sequence[str] | None = None) -> Page:
    """Everything that the page shows. Raises as ``write_report``."""
    first, num_classes = scores.files[0], scores.fused.shape[1]
    names: Sequence[str] = names_of(dataset_of(scores), num_classes) or number_labels(num_classes)
    if options.labels:
        names = read_labels(options.labels, num_classes, first.path)
    found = find(scores)
    places = found.worst(options.worst)
    strip, without = _strips(scores, options, [int(found.labelled[place]) for place in places])
    return Page(
        scores,
        found,
        names,
        first.names or tuple(f"video {number}" for number in range(1, len(first.scores) + 1)),
        [
            _worst_video(scores, found, place, strip)
            for place in track(places, "worst videos", unit="video", leave=False)
        ],
        settings_rows(scores, digests or [sha256_of(file.path) for file in scores.files]),
        without,
        options.command,
        __version__,
    )


def _worst_video(scores: FusedScores, found: Findings, place: int, strip: Callable[[int], Strip]) -> WorstVideo:
    """place: among the labelled videos."""
    index, label, predicted = (int(array[place]) for array in (found.labelled, found.labels, found.predictions))
    names, sets = scores.aligned.names, scores.label_sets
    return WorstVideo(
        names[index] if names else f"video {index + 1}",
        label,
        predicted,
        float(found.probabilities[index, label]),
        float(found.probabilities[index, predicted]),
        video_curves(scores, found.names, index, label, predicted),
        strip(index),
        [other for other in dict.fromkeys(sets[index]) if other != label] if sets else (),
    )


def _strips(scores: FusedScores, options: ReportOptions, indices: Sequence[int]) -> tuple[Callable[[int], Strip], str]:
    """What gives a video's strip by its index, and why no video has one ("" where frames were looked for)."""
    names, first = scores.aligned.names, scores.files[0]
    if options.folders is None and options.frames is None:
        return lambda index: Strip(), _NO_FRAMES
    if names is None:
        raise PytsnError(f"{first.path}: holds no video names, by which --frames finds a video's frames; leave it out")
    folders = options.folders
    if folders is None:
        folders = find_frames(str(options.frames), [names[index] for index in indices], options.kinds)

    def strip(index: int) -> Strip:
        path = folders.get(names[index])
        if path is None:
            return Strip(missing=f"no frames of it in {options.frames}")
        return video_strip(path, len(first.scores[index]), first.settings or {}, options.kinds)

    return strip, ""

"""ActivityNet 1.2 and 1.3: the official annotation file, its classes, videos and clips.

Source of the format: the JSON files of the dataset's authors, with ``database`` (video id -> subset, duration,
annotations with a label and a segment in seconds), ``taxonomy`` (nodes with nodeName and parentName) and ``version``.
Classes are the taxonomy's leaves in alphabetical order, as in the original (``pyActionRecog/anet_db.py``).
"""

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from converter.errors import PytsnError
from converter.files import read_text
from pytsn.data.datasets import ANNOTATED_DATASETS, DATASETS
from pytsn.data.splits import Entry, Split

#: dataset name on the command line -> version
ACTIVITYNET = {name: DATASETS[name].version for name in ANNOTATED_DATASETS}
SUBSETS = ("training", "validation", "testing")


@dataclass(frozen=True)
class Instance:
    """One annotated action: label from 0, start and end in seconds."""

    label: int
    start: float
    end: float


@dataclass(frozen=True)
class AnetVideo:
    """An untrimmed video: id, subset, annotated actions in the file's order (none in the testing subset), and duration
    in seconds, None if the file gives none."""

    name: str
    subset: str
    instances: tuple[Instance, ...]
    duration: float | None = None

    @property
    def labels(self) -> tuple[int, ...]:
        """The video's classes, each once, by annotated time, longest first; equal ones in order of annotation."""
        seconds: dict[int, float] = {}
        for item in self.instances:
            seconds[item.label] = seconds.get(item.label, 0.0) + max(item.end - item.start, 0.0)
        return tuple(sorted(seconds, key=lambda label: -seconds[label]))


@dataclass(frozen=True)
class ActivityNet:
    """classes: names, indexed by label; videos: in the file's order."""

    classes: tuple[str, ...]
    videos: tuple[AnetVideo, ...]

    def subset(self, name: str) -> list[AnetVideo]:
        """The videos of ``training``, ``validation`` or ``testing``. Raises PytsnError for another name."""
        if name not in SUBSETS:
            raise PytsnError(f"ActivityNet has no subset '{name}'; there are {', '.join(SUBSETS)}")
        return [video for video in self.videos if video.subset == name]

    def clip_splits(self) -> list[Split]:
        """The original's two splits: training clips and validation clips; both together and the testing videos, whose
        unknown labels are written as 0. A clip is one annotated instance, named ID_0, ID_1, ..."""
        train, val = ([*_clips(self.subset(name))] for name in ("training", "validation"))
        testing = tuple((video.name, 0) for video in self.subset("testing"))
        return [Split(tuple(train), tuple(val)), Split((*train, *val), testing)]

    def video_splits(self) -> list[Split]:
        """The same two splits with whole videos, each labelled with its longest action; unlabelled videos are left out
        of the training and validation parts."""
        train, val = ([*_first_labels(self.subset(name))] for name in ("training", "validation"))
        testing = tuple((video.name, 0) for video in self.subset("testing"))
        return [Split(tuple(train), tuple(val)), Split((*train, *val), testing)]


def activitynet_path(dataset: str, split_path: str | os.PathLike = "data") -> Path:
    """Path of the annotation file in the original: SPLIT_PATH/activitynet_splits/activity_net.v1-2.min.json."""
    return Path(split_path) / "activitynet_splits" / f"activity_net.v{ACTIVITYNET[dataset].replace('.', '-')}.min.json"


def frame_folder_names(names: Iterable[str]) -> dict[str, str]:
    """Folder name -> video (or clip) name: a video's frames lie in ``ID`` or, like its file name, in ``v_ID``."""
    names = list(names)
    return {f"v_{name}": name for name in names} | {name: name for name in names}  # an id may start with v_ itself


def read_activitynet(path: str | os.PathLike, version: str | None = None) -> ActivityNet:
    """Reads an annotation file.

    Raises PytsnError that names file and video when the file is missing, is not JSON or has another form, when a label
    is not a leaf of the taxonomy, and when the file's version is not ``version`` (1.2, 1.3).
    """
    if not os.path.exists(path):
        raise PytsnError(f"{path}: no such file; --anet_file tells where ActivityNet's annotations are")
    try:
        raw = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        text = str(error).splitlines()[0] if str(error) else "nested too deep"
        raise PytsnError(f"{path}: no JSON, or a damaged one: {text}") from None
    if not isinstance(raw, dict) or not {"database", "taxonomy"} <= set(raw):
        raise PytsnError(f"{path}: not an ActivityNet annotation file: 'database' and 'taxonomy' are expected in it")
    _check_version(path, raw.get("version"), version)
    classes = _leaves(path, raw["taxonomy"])
    if not isinstance(raw["database"], dict) or not raw["database"]:
        raise PytsnError(f"{path}: 'database' holds no videos")
    labels = {name: index for index, name in enumerate(classes)}
    return ActivityNet(classes, tuple(_video(path, name, item, labels) for name, item in raw["database"].items()))


def _check_version(path: str | os.PathLike, found: object, version: str | None) -> None:
    others = [other for other in ACTIVITYNET.values() if other != version]
    if version and isinstance(found, str) and version not in found and any(other in found for other in others):
        raise PytsnError(f"{path}: is {found!r}, but ActivityNet {version} was asked for")


def _leaves(path: str | os.PathLike, taxonomy: object) -> tuple[str, ...]:
    nodes = taxonomy if isinstance(taxonomy, list) else []
    names = {node["nodeName"] for node in nodes if isinstance(node, dict) and isinstance(node.get("nodeName"), str)}
    parents = {
        node["parentName"] for node in nodes if isinstance(node, dict) and isinstance(node.get("parentName"), str)
    }
    if not names - parents:
        raise PytsnError(f"{path}: 'taxonomy' has no classes; a list of nodes with nodeName and parentName is expected")
    return tuple(sorted(names - parents))


def _video(path: str | os.PathLike, name: str, item: object, labels: dict[str, int]) -> AnetVideo:
    where = f"{path}: video {name!r}"
    if not name.isprintable() or not name or "/" in name:
        raise PytsnError(f"{where}: this id cannot be the name of a folder of frames")
    if not isinstance(item, dict) or item.get("subset") not in SUBSETS:
        raise PytsnError(f"{where} has no 'subset' of {', '.join(SUBSETS)}")
    annotations = item.get("annotations", [])
    if not isinstance(annotations, list):
        raise PytsnError(f"{where}: 'annotations' is not a list")
    instances = tuple(_instance(where, annotation, labels) for annotation in annotations)
    duration = item.get("duration")
    return AnetVideo(name, item["subset"], instances, float(duration) if _is_time(duration) and duration > 0 else None)


def _instance(where: str, annotation: object, labels: dict[str, int]) -> Instance:
    if not isinstance(annotation, dict) or not isinstance(annotation.get("label"), str):
        raise PytsnError(f"{where}: an annotation has no 'label'")
    if annotation["label"] not in labels:
        raise PytsnError(f"{where}: label {annotation['label']!r} is no class of the taxonomy")
    segment = annotation.get("segment")
    if not isinstance(segment, list) or len(segment) != 2 or not all(_is_time(value) for value in segment):
        raise PytsnError(f"{where}: 'segment' of {annotation['label']!r} is not [start, end] in seconds")
    return Instance(labels[annotation["label"]], float(segment[0]), float(segment[1]))


def _is_time(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e9 and math.isfinite(value)


def _clips(videos: list[AnetVideo]) -> Iterable[Entry]:
    for video in videos:
        for index, item in enumerate(video.instances):
            yield f"{video.name}_{index}", item.label


def _first_labels(videos: list[AnetVideo]) -> Iterable[Entry]:
    return ((video.name, video.labels[0]) for video in videos if video.labels)

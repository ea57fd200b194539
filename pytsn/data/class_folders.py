"""A folder of class folders as a dataset: ROOT/CLASS/VIDEO.mp4, or ROOT/CLASS/VIDEO/img_00001.jpg ..."""

import os
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from converter.errors import PytsnError
from converter.files import explain_os_error
from pytsn.data.modalities import PREFIXES
from pytsn.data.sources import Kinds, Source, find_sources
from pytsn.data.splits import Entry, Split
from pytsn.data.video_file import is_video_name


@dataclass(frozen=True)
class ClassFolders:
    """classes: names of the folders in alphabetical order, which are the labels from 0. paths: CLASS/VIDEO -> the video
    file or the folder of frames, in order. videos: whether these are files."""

    classes: tuple[str, ...]
    paths: dict[str, str]
    videos: bool

    @property
    def entries(self) -> list[Entry]:
        """(CLASS/VIDEO, label) of every video."""
        labels = {name: label for label, name in enumerate(self.classes)}
        return [(name, labels[name.partition("/")[0]]) for name in self.paths]

    def random_split(self, val_share: float, seed: int, number: int = 1) -> Split:
        """The videos parted at random, each class on its own: ``val_share`` of them, and at least one, to validate by;
        a class of one video has none. Another ``number`` is another split; all are repeatable."""
        draw = random.Random(f"{seed} {number}")
        by_label: dict[int, list[Entry]] = defaultdict(list)
        for name, label in self.entries:
            by_label[label].append((name, label))
        val: set[Entry] = set()
        for members in by_label.values():
            count = min(max(round(len(members) * val_share), 1), len(members) - 1)
            val.update(draw.sample(members, count))
        train = tuple(entry for entry in self.entries if entry not in val)
        return Split(train, tuple(entry for entry in self.entries if entry in val))


def read_class_folders(root: str, video_files: bool = False, kinds: Kinds = PREFIXES) -> ClassFolders:
    """The classes below ``root`` and their videos at any depth: folders of frames where there are any, else video files
    (``video_files``: those in any case). Hidden folders are left out. kinds: of rgb, flow x and flow y files.

    Raises PytsnError for a folder without class folders, with videos beside them, and for a class without videos.
    """
    classes = _class_names(root)
    sources = {name: find_sources([os.path.join(root, name)], kinds) for name in classes}
    frames = any(not source.is_video for found in sources.values() for source in found)
    videos = video_files or not frames
    paths: dict[str, str] = {}
    for name, found in sources.items():
        own = {f"{name}/{_base_name(source)}": source.path for source in found if source.is_video == videos}
        if not own:
            raise PytsnError(
                f"{os.path.join(root, name)}: a class without {'videos' if videos else 'folders of frames'}"
            )
        _refuse_repeats([source for source in found if source.is_video == videos])
        paths.update(own)
    return ClassFolders(tuple(classes), paths, videos)


def class_index(classes: Sequence[str]) -> str:
    """The lines of a class index as UCF101's: ``1 Archery``."""
    return "".join(f"{number} {name}\n" for number, name in enumerate(classes, start=1))


def _class_names(root: str) -> list[str]:
    try:
        with os.scandir(root) as members:
            shown = [member for member in members if not member.name.startswith(".")]
            classes = sorted(member.name for member in shown if member.is_dir())
            beside = sorted(member.name for member in shown if member.is_file() and is_video_name(member.name))
    except OSError as error:
        raise explain_os_error(error, root) from None
    if beside:
        raise PytsnError(f"{root}: {beside[0]} lies beside the class folders; a folder a class was expected")
    if not classes:
        raise PytsnError(f"{root}: holds no folders; one a class was expected, with the videos inside")
    return classes


def _base_name(source: Source) -> str:
    name = os.path.basename(os.path.abspath(source.path))
    return os.path.splitext(name)[0] if source.is_video else name.removesuffix(".zip")


def _refuse_repeats(sources: Sequence[Source]) -> None:
    first: dict[str, str] = {}
    for source in sources:
        other = first.setdefault(_base_name(source), source.path)
        if other != source.path:
            raise PytsnError(f"two videos of one class are called alike: {other} and {source.path}; rename one")

"""``pytsn build-file-list folders``: lists of a dataset that is a folder of class folders, split at random."""

import argparse
import os
import sys
from collections import Counter

from converter.errors import PytsnError
from converter.text_table import amount
from pytsn.commands.arguments import frame_kinds_of
from pytsn.data.class_folders import ClassFolders, class_index, read_class_folders
from pytsn.data.frame_folders import look_into, parse_directory
from pytsn.data.splits import Split
from pytsn.data.videos import FrameFolder
from pytsn.runtime.progress import track

#: the dataset's name on the command line
FOLDERS = "folders"
_SHARE = 0.2


def add_class_folders(parser: argparse.ArgumentParser) -> None:
    """The options of the dataset ``folders``, and --videos, in groups of their own."""
    add = parser.add_argument_group("class folders (folders)").add_argument
    share = f"share of each class to validate by (default: {_SHARE}), drawn anew for other --seed (default: 0)"
    add("--val_share", type=float, default=_SHARE, metavar="S", help=share)
    add("--frames", metavar="DIR", help="folders of frames that build-of made of the videos: lists name these")
    add = parser.add_argument_group("video files").add_argument
    text = "FRAMES holds video files; lists name them, their images are counted by decoding every frame"
    add("--videos", action="store_true", help=text)


def class_folder_splits(args: argparse.Namespace) -> tuple[list[Split], dict[str, FrameFolder], dict[str, str]]:
    """The splits, the folder of frames or the video file of each video (not counted yet), and the class index by its
    file name. Raises PytsnError for options and folders that do not go."""
    if not 0 < args.val_share < 1:
        raise PytsnError(f"--val_share {args.val_share}: a share between 0 and 1 was expected")
    kinds = frame_kinds_of(args)
    found = read_class_folders(args.frame_path, args.videos, kinds)
    if args.frames:
        folders = _extracted(found, args.frames, kinds)
    elif found.videos:
        folders = {name: FrameFolder(path, 0, 0) for name, path in found.paths.items()}
    else:
        paths = track(found.paths.items(), "looking into folders", unit="folder", leave=False)
        folders = {name: look_into(path, kinds, label=f"video '{name}': ") for name, path in paths}
    sizes = Counter(label for _, label in found.entries)
    single = [found.classes[label] for label, size in sizes.items() if size == 1]
    if single:
        count = amount(len(single), "class of one video is", "classes of one video are")
        text = f"{count} trained on and not validated: {', '.join(single[:10])}"
        print(f"note: {text}", file=sys.stderr)
    numbers = range(1, (args.num_split or 1) + 1)
    splits = [found.random_split(args.val_share, args.seed or 0, number) for number in numbers]
    return splits, folders, {f"{FOLDERS}_classes.txt": class_index(found.classes)}


def _extracted(found: ClassFolders, root: str, kinds: tuple[str, str, str]) -> dict[str, FrameFolder]:
    """The folders of frames below ``root`` that are called as the videos. Raises PytsnError for two of one name."""
    owners: dict[str, str] = {}
    for name in found.paths:
        base = os.path.basename(name)
        if base in owners:
            raise PytsnError(
                f"--frames {root}: {found.paths[owners[base]]} and {found.paths[name]} would have one folder of frames;"
                " rename one of the videos"
            )
        owners[base] = name
    return {owners[base]: item for base, item in parse_directory(root, *kinds, owners, print).items()}

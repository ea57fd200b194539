"""``pytsn build-file-list``: the original ``tools/build_file_list.py``, lists of frame folders for training."""

import argparse
import contextlib
import os
import random
import sys
from collections.abc import Callable
from dataclasses import replace

from converter.errors import PytsnError
from converter.files import atomic_path, explain_os_error
from converter.text_table import amount
from pytsn.commands.arguments import (
    add_allow_missing,
    add_annotations,
    add_frame_patterns,
    add_prefixes,
    add_split_path,
    frame_kinds_of,
)
from pytsn.commands.class_folder_lists import FOLDERS, add_class_folders, class_folder_splits
from pytsn.data.activitynet import ACTIVITYNET, activitynet_path, frame_folder_names, read_activitynet
from pytsn.data.datasets import ANNOTATED_DATASETS, SPLIT_DATASETS, SPLITS
from pytsn.data.frame_folders import make_videos, missing_message, naming_hint, parse_directory, renamed_notes
from pytsn.data.listed_folders import numbering_notes
from pytsn.data.modalities import FLOW, IMAGES, RGB
from pytsn.data.splits import Split, parse_split_file
from pytsn.data.video_folder import count_images, find_file_folders
from pytsn.data.videos import FrameFolder
from pytsn.evaluation.choose_videos import find_anet_folders
from pytsn.runtime.words import one_of

HELP = """\
write the lists of frame folders that training reads, `folder count label` per line

For each split four files: DATASET_rgb_train_split_1.txt, DATASET_rgb_val_split_1.txt and the same for flow. FRAMES
holds one folder a video (or one a class, with the videos' folders inside); split files are read below --split_path
(data/ucf101_splits, data/hmdb51_splits).

  pytsn build-file-list ucf101 FRAMES
  pytsn build-file-list hmdb51 FRAMES --num_split 1 --shuffle --seed 7 --out_list_path lists/
  pytsn build-file-list ucf101 FRAMES --rgb_prefix image_ --allow_missing
  pytsn build-file-list ucf101 FRAMES --frame_pattern frame%06d.png --flow_pattern flow_%c_%06d.png
  pytsn build-file-list activitynet_1.2 CLIP_FRAMES --anet_file activity_net.v1-2.min.json
  pytsn build-file-list ucf101 VIDEOS --videos
  pytsn build-file-list folders VIDEOS --val_share 0.2 --seed 1

ActivityNet has two splits: training against validation, and both against testing (label 0: unknown). As in the original
its lists name clips, one for each annotated action: folders ID_0, ID_1, ... With --anet_unit videos they name whole
videos, labelled by the longest action. A leading v_ in folder names is fine.

`folders` takes any folder of class folders, with video files or folders of frames inside: a fifth of each class, drawn
at random, goes into the val lists, and folders_classes.txt gets the classes (labels are their alphabetical order, from
0). With --frames the videos say classes and split, and the lists name the folders of frames that build-of made of them.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of build-file-list; the flow prefixes lack the last underscore, as in the original."""
    add = parser.add_argument
    add("dataset", metavar="DATASET", help=one_of((*SPLIT_DATASETS, *ANNOTATED_DATASETS, FOLDERS)))
    add("frame_path", metavar="FRAMES", help="root folder of the frames, or of videos")
    add_prefixes(add, (RGB.prefixes[0], *(prefix.removesuffix("_") for prefix in FLOW.prefixes)))
    add_frame_patterns(add)
    add("--num_split", type=int, metavar="N", help="splits 1 to N (default: all; of folders one)")
    add(
        "--out_list_path", default="data/", metavar="DIR", help="where to write; made if missing (default: %(default)s)"
    )
    add("--shuffle", action="store_true", help="shuffle the lines of each list")
    add("--seed", type=int, metavar="S", help="makes --shuffle repeatable (default: another order each time)")
    add_annotations(add)
    add("--anet_unit", choices=("clips", "videos"), default="clips", help="what ActivityNet's lists name")
    add_split_path(add)
    add_allow_missing(add)
    add_class_folders(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the original's lines and writes its files, all or none. Raises PytsnError for missing videos and files."""
    if args.num_split is not None and args.num_split not in SPLITS:
        raise PytsnError(f"--num_split {args.num_split}: there are splits 1 to {SPLITS[-1]}")
    print(f"processing dataset {args.dataset}")
    files: dict[str, str] = {}
    if args.dataset == FOLDERS:
        splits, found, files = class_folder_splits(args)
    else:
        splits, found = _splits(args)[: args.num_split], None
    folders = _frame_folders(args, {name for split in splits for name, _ in split.train + split.test}, found)
    print("writing list files for training/testing", flush=True)
    shuffle = random.Random(args.seed).shuffle if args.shuffle else None
    for number, split in enumerate(splits, start=1):
        files.update(_list_files(args.dataset, number, split, folders, shuffle))
    _write_all(args.out_list_path, files)
    return 0


def _splits(args: argparse.Namespace) -> list[Split]:
    if args.dataset not in ACTIVITYNET:
        if args.anet_file:
            raise PytsnError(f"--anet_file goes with the datasets {one_of(ANNOTATED_DATASETS, 'and')}")
        return parse_split_file(args.dataset, args.split_path)
    path = args.anet_file or activitynet_path(args.dataset, args.split_path)
    database = read_activitynet(path, ACTIVITYNET[args.dataset])
    return database.clip_splits() if args.anet_unit == "clips" else database.video_splits()


def _find_folders(args: argparse.Namespace, names: set[str]) -> dict[str, FrameFolder]:
    """The folders of frames, or the video files, of the splits' videos that are there."""
    if args.videos:
        owners = frame_folder_names(sorted(names)) if args.dataset in ACTIVITYNET else {name: name for name in names}
        return find_file_folders(args.frame_path, owners)
    if args.dataset in ACTIVITYNET:
        return find_anet_folders(args.frame_path, sorted(names), frame_kinds_of(args), print)
    return parse_directory(args.frame_path, *frame_kinds_of(args), names, print)


def _count_files(folders: dict[str, FrameFolder]) -> tuple[dict[str, FrameFolder], list[str]]:
    """The folders, those that are video files with the counts of their images; and why some could not be counted."""
    from pytsn.data.video_folder import counting_progress

    videos, broken = count_images(make_videos([(name, 0) for name in folders], folders), counting_progress)
    counts = {video.name: (video.rgb_count, video.flow_count) for video in videos}
    counted = {
        name: replace(item, rgb_count=counts[name][0], flow_count=counts[name][1]) for name, item in folders.items()
    }
    return counted, list(broken.values())


def _frame_folders(
    args: argparse.Namespace, names: set[str], found: dict[str, FrameFolder] | None
) -> dict[str, FrameFolder]:
    """The folders that hold frames, of all videos of the splits; the user hears of those without any. found: folders,
    where they need not be looked for."""
    kinds = frame_kinds_of(args)
    found, broken = _count_files(_find_folders(args, names) if found is None else found)
    folders = {name: folder for name, folder in found.items() if folder.rgb_count + folder.flow_count > 0}
    missing = sorted(names - set(folders))
    if missing:
        text = missing_message(missing, len(names), args.frame_path) + "".join(f"; {reason}" for reason in broken[:1])
        if not args.allow_missing:
            hint = naming_hint([folder.path for name, folder in found.items() if name in missing], kinds)
            raise PytsnError(f"{text}; {hint or 'extract them, or go on without them by --allow_missing'}")
        print(f"warning: {text}", file=sys.stderr)
    if not folders:
        raise PytsnError(f"no video of {args.dataset} has frames in {args.frame_path}: nothing to list")
    for note in _notes(folders):
        print(f"note: {note}", file=sys.stderr)
    for modality in IMAGES:
        empty = sum(getattr(folder, f"{modality}_count") == 0 for folder in folders.values())
        if empty:
            have = amount(empty, "video has", "videos have")
            print(f"warning: {have} no {modality} images: 0 in the {modality} lists", file=sys.stderr)
    return folders


def _notes(folders: dict[str, FrameFolder]) -> list[str]:
    """Lines about folders of another case than the videos' names, and about frames numbered from 0."""
    return [*renamed_notes(folders), *numbering_notes(make_videos([(name, 0) for name in folders], folders), RGB.name)]


def _list_files(
    dataset: str,
    number: int,
    split: Split,
    folders: dict[str, FrameFolder],
    shuffle: Callable[[list[str]], None] | None,
) -> dict[str, str]:
    """File name -> text of the four lists of split ``number``. Each list is shuffled on its own, as in the original."""
    files = {}
    for part, entries in (("train", split.train), ("val", split.test)):
        videos = make_videos(entries, folders)
        for modality in IMAGES:
            lines = [f"{video.folder} {video.frame_count(modality)} {video.label}\n" for video in videos]
            if shuffle:
                shuffle(lines)
            files[f"{dataset}_{modality}_{part}_split_{number}.txt"] = "".join(lines)
    return files


def _write_all(folder: str, files: dict[str, str]) -> None:
    """Writes the files once every one of them is safely on disk under a temporary name."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, folder) from None
    blocked = [name for name in files if os.path.isdir(os.path.join(folder, name))]
    if blocked:
        raise PytsnError(f"{os.path.join(folder, blocked[0])}: is a folder, a list file goes there")
    with contextlib.ExitStack() as stack:
        for name, text in files.items():
            stack.enter_context(atomic_path(os.path.join(folder, name))).write_text(text, encoding="utf-8")

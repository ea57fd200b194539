"""The videos of an ablation, from a split or from two lists, for every modality that has images."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from converter.errors import PytsnError
from converter.files import write_bytes
from converter.text_table import amount
from pytsn.ablation.options import AblationOptions
from pytsn.data.datasets import CUSTOM, DATASETS
from pytsn.data.folder_names import case_notes, find_renamed
from pytsn.data.frame_folders import (
    find_missing,
    make_videos,
    missing_message,
    parse_directory,
    parse_list_file,
    renamed_notes,
)
from pytsn.data.frame_names import check_numbering, frame_kinds
from pytsn.data.frame_store import is_frame_folder, number_frames
from pytsn.data.listed_folders import numbering_notes
from pytsn.data.modalities import PREFIXES, find_modality
from pytsn.data.sources import Kinds
from pytsn.data.splits import parse_split_file
from pytsn.data.video_file import is_video_file
from pytsn.data.video_folder import count_images, counting_progress
from pytsn.data.videos import Video
from pytsn.runtime.progress import track

_PARTS = ("train", "test")
_NUMBER = "%05d"


@dataclass(frozen=True)
class AblationData:
    """videos: part (train, test) -> modality -> videos. Every modality has the same videos in the same order, each with
    the folder of that modality's images. notes: lines for the user, e.g. about modalities left out."""

    videos: Mapping[str, Mapping[str, list[Video]]]
    num_classes: int
    notes: tuple[str, ...]

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that have images."""
        return tuple(self.videos["test"])

    def write_list(self, part: str, modality: str, path: str | os.PathLike) -> None:
        """Writes a training list: lines ``folder frames label``."""
        rows = (f"{each.folder} {each.frame_count(modality)} {each.label}\n" for each in self.videos[part][modality])
        write_bytes(path, "".join(rows).encode())


def image_names(options: AblationOptions) -> tuple[Kinds, str]:
    """Kinds of rgb, flow x and flow y files (pytsn/data/frame_names.py) from the two patterns, and the suffix of those
    that are prefixes. Raises PytsnError for a bad pattern."""
    kinds = _kinds(options)
    starts, ends = zip(*(kind.split(_NUMBER) if _NUMBER in kind else (kind, "") for kind in kinds), strict=True)
    if len(set(ends)) == 1 and ends[0].startswith("."):
        return starts, ends[0][1:]  # so existing cells with such names keep their settings
    return kinds, "jpg"


def _kinds(options: AblationOptions) -> Kinds:
    try:
        return frame_kinds(PREFIXES, options.rgb_pattern, options.flow_pattern)
    except PytsnError as error:
        raise PytsnError(f"patterns {options.rgb_pattern} and {options.flow_pattern}: {error}") from None


def load_data(options: AblationOptions) -> AblationData:
    """Finds the videos and their images. Raises PytsnError that names missing videos, unless ``allow_missing``."""
    entries = _custom_entries(options) if options.dataset == CUSTOM else _split_entries(options)
    notes: list[str] = []
    found: dict[str, dict[str, list[Video]]] = {}
    for modality in options.modalities:
        videos = {part: _videos(options, modality, entries[part], notes) for part in _PARTS}
        least = find_modality(modality).least_frames
        if not any(video.frame_count(modality) >= least for part in _PARTS for video in videos[part]):
            notes.append(_left_out(options, modality))
            continue
        found[modality] = videos
    if not found:
        raise PytsnError(f"{options.frame_path}: {'; '.join(notes)}: nothing to do")
    kept, more = _common(options, found, entries)
    both = {entry.name for entry in entries["train"]} & {entry.name for entry in entries["test"]}
    if both:
        are = amount(len(both), "video is", "videos are")
        notes.append(f"warning: {are} trained on and tested: {', '.join(sorted(both)[:10])}")
    classes = max(entry.label for part in _PARTS for entry in entries[part]) + 1
    tested = next(iter(kept["test"].values()))
    absent = sorted(set(range(classes)) - {video.label for video in tested})
    if absent:
        shown = ", ".join(map(str, absent[:10])) + ", ..." * (len(absent) > 10)
        of = f"of {classes} classes"
        lack = amount(
            len(absent), f"{of} has no test video, the mean leaves it", f"{of} have no test video, the mean leaves them"
        )
        more.append(f"warning: {lack} out: {shown}")
    return AblationData(kept, classes, (*notes, *more))


def _custom_entries(options: AblationOptions) -> dict[str, list[Video]]:
    assert options.train_list is not None  # AblationOptions insists on both
    assert options.val_list is not None
    lists = (options.train_list, options.val_list)
    return {part: parse_list_file(path) for part, path in zip(_PARTS, lists, strict=True)}


def _split_entries(options: AblationOptions) -> dict[str, list[Video]]:
    splits = DATASETS[options.dataset].splits
    if not 1 <= options.split <= splits:
        raise PytsnError(f"--split {options.split}: there are splits 1 to {splits}")
    split = parse_split_file(options.dataset, options.split_path)[options.split - 1]
    return {part: [Video(name, label, "", 0, 0) for name, label in getattr(split, part)] for part in _PARTS}


def _videos(options: AblationOptions, modality: str, entries: Sequence[Video], notes: list[str]) -> list[Video]:
    """The entries that have a folder below the modality's root, with the numbers of images on disk. Adds new lines for
    the user to ``notes``."""
    root, kinds = _root(options, modality), _kinds(options)
    if root is None:
        return []
    if options.dataset != CUSTOM:
        images = (find_modality(modality).images.name,)
        folders = parse_directory(root, *kinds, {entry.name for entry in entries}, images=images)
        videos, more = make_videos([(entry.name, entry.label) for entry in entries], folders), renamed_notes(folders)
    else:
        videos, more = _listed_videos(root, modality, entries, kinds)
    more += numbering_notes(videos, modality)
    notes += [note for note in dict.fromkeys(f"note: {line}" for line in more) if note not in notes]
    return videos


def _listed_videos(root: str, modality: str, entries: Sequence[Video], kinds: Kinds) -> tuple[list[Video], list[str]]:
    absolute = find_modality(modality).own_folders  # absolute paths in a list point to the frames
    folders = []
    for entry in entries:
        own = os.path.basename(entry.folder.rstrip("/")) if absolute and os.path.isabs(entry.folder) else entry.folder
        folders.append(os.path.join(root, own))
    renamed = find_renamed(folders)
    pairs = [(entry, renamed.get(folder, folder)) for entry, folder in zip(entries, folders, strict=True)]
    looked = track(pairs, "looking into folders", unit="folder", leave=False)
    videos = [_counted(entry, folder, modality, kinds) for entry, folder in looked if is_frame_folder(folder)]
    if not find_modality(modality).is_flow:  # training does not compute flow
        files = [replace(entry, folder=folder) for entry, folder in pairs if is_video_file(folder)]
        videos += count_images(files, counting_progress)[0]
        order = {entry.name: index for index, entry in enumerate(entries)}
        videos.sort(key=lambda video: order[video.name])
    return videos, case_notes(renamed)


def _counted(entry: Video, folder: str, modality: str, kinds: Kinds) -> Video:
    rgb, flow_x, flow_y = found = number_frames(folder, kinds)
    for kind, item in zip(kinds, found, strict=True):
        if (kind != kinds[0]) == find_modality(modality).is_flow:
            check_numbering(folder, kind, item)
    pairs = min(flow_x.count, flow_y.count)
    return replace(
        entry, folder=folder, rgb_count=rgb.count, flow_count=pairs, rgb_first=rgb.first, flow_first=flow_x.first
    )


def _root(options: AblationOptions, modality: str) -> str | None:
    """The root folder of the modality's images."""
    return options.warped_path if find_modality(modality).own_folders else options.frame_path


def _left_out(options: AblationOptions, modality: str) -> str:
    row, root = find_modality(modality), _root(options, modality)
    where = "no --warped_path" if root is None else f"no {row.images.title} in {root}"
    made = f"pytsn build-of VIDEOS {root or 'WARPED'} {row.build_flags}".rstrip()
    return f"{modality} is left out, {where}: `{made}` makes them"


def _common(options: AblationOptions, found: Mapping, entries: Mapping) -> tuple[dict, list[str]]:
    """The videos that every modality has, and notes about the others."""
    kept: dict[str, dict[str, list[Video]]] = {}
    notes = []
    for part in _PARTS:
        missing: dict[str, None] = {}
        for modality, videos in found.items():
            missing.update(dict.fromkeys(find_missing(videos[part], modality, _named(entries[part]))))
        if missing:
            text = missing_message(list(missing), len(entries[part]), options.frame_path)
            text = f"{part}: {text} (or not those of every modality)"
            if not options.allow_missing:
                raise PytsnError(f"{text}; extract them, or go on without them by --allow_missing")
            notes.append(f"warning: {text}")
        kept[part] = {
            name: [each for each in videos[part] if each.name not in missing] for name, videos in found.items()
        }
        if not next(iter(kept[part].values())):
            raise PytsnError(f"{part}: no video has the images of every modality: see --modalities")
    return kept, notes


def _named(entries: Sequence[Video]) -> list[tuple[str, int]]:
    return [(entry.name, entry.label) for entry in entries]

"""Which videos an evaluation scores: those of a split, of an ActivityNet subset or of a list, that are on disk."""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from converter.errors import PytsnError
from pytsn.data.activitynet import ACTIVITYNET, AnetVideo, activitynet_path, frame_folder_names, read_activitynet
from pytsn.data.datasets import CUSTOM
from pytsn.data.frame_folders import (
    Report,
    find_missing,
    make_videos,
    missing_message,
    naming_hint,
    parse_directory,
    parse_list_file,
    renamed_notes,
)
from pytsn.data.listed_folders import look_into_listed, numbering_notes
from pytsn.data.modalities import IMAGES, MODALITIES, PREFIXES
from pytsn.data.splits import parse_split_file
from pytsn.data.video_folder import (
    Progress,
    count_images,
    find_file_folders,
    find_listed_files,
    find_video_files,
    without_extensions,
)
from pytsn.data.videos import FrameFolder, Video


@dataclass(frozen=True)
class VideoChoice:
    """What to evaluate, as the command line says it. prefixes: of rgb, flow x and flow y files, or whole patterns
    (pytsn/data/frame_names.py); subset and anet_file: ActivityNet's, None for the split's own and for the original's
    place below split_path; video_files: frame_path holds videos, not folders of frames."""

    dataset: str
    split: int
    modality: str
    frame_path: str
    prefixes: tuple[str, str, str] = PREFIXES
    split_path: str = "data"
    test_list: str | None = None
    allow_missing: bool = False
    subset: str | None = None
    anet_file: str | None = None
    video_files: bool = False


@dataclass(frozen=True)
class ChosenVideos:
    """videos: at least one, all with frames; label_sets: all classes of each one where a video may have several
    (ActivityNet), else None; warnings and notes: lines for the user."""

    videos: list[Video]
    label_sets: list[list[int]] | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...] = ()


def choose_videos(choice: VideoChoice, report: Report, progress: Progress = lambda paths: paths) -> ChosenVideos:
    """The videos to score, in the order of their list. ``report`` is called with the lines the original prints,
    ``progress`` wraps the video files whose images have to be counted.

    Raises PytsnError that names the missing videos unless they may be missing, when none is left, and for lists that
    cannot be read.
    """
    sets: dict[str, AnetVideo] = {}
    folders: dict[str, FrameFolder] = {}
    notes: list[str] = []
    images = (MODALITIES[choice.modality].images.name,)
    if choice.dataset == CUSTOM:
        entries: tuple = ()
        listed = _listed(choice)
        below = [replace(video, folder=os.path.join(choice.frame_path, video.folder)) for video in listed]
        files = find_listed_files(choice.frame_path, below) if choice.video_files else below
        looked, notes = look_into_listed(files, choice.modality, choice.prefixes, str(choice.test_list))
        videos = without_extensions(looked)
    elif choice.dataset in ACTIVITYNET:
        sets = {video.name: video for video in _subset(choice)}
        entries = tuple((name, next(iter(video.labels), 0)) for name, video in sets.items())
        if choice.video_files:
            folders = find_file_folders(choice.frame_path, frame_folder_names(list(sets)))
        else:
            folders = find_anet_folders(choice.frame_path, list(sets), choice.prefixes, report, images)
        videos = [replace(video, duration=sets[video.name].duration) for video in make_videos(entries, folders)]
    else:
        entries = parse_split_file(choice.dataset, choice.split_path)[choice.split - 1].test
        names = {name for name, _ in entries}
        if choice.video_files:
            folders = find_file_folders(choice.frame_path, {name: name for name in names})
        else:
            folders = parse_directory(choice.frame_path, *choice.prefixes, names, report, images)
        videos = make_videos(entries, folders)
    notes += renamed_notes(folders)
    videos, broken = count_images(videos, progress)
    videos, warnings = _on_disk(choice, entries, videos, broken)
    label_sets = [list(sets[video.name].labels) for video in videos] if sets else None
    return ChosenVideos(videos, label_sets, warnings, (*notes, *numbering_notes(videos, choice.modality)))


def find_anet_folders(
    frame_path: str,
    names: list[str],
    prefixes: tuple[str, str, str],
    report: Report,
    images: Iterable[str] = tuple(IMAGES),
) -> dict[str, FrameFolder]:
    """The frame folders of ActivityNet's videos or clips by their names, called ``ID`` or ``v_ID`` on disk.

    Raises PytsnError as ``parse_directory``, and when a video has both.
    """
    owners = frame_folder_names(names)
    found: dict[str, FrameFolder] = {}
    for folder, item in parse_directory(frame_path, *prefixes, owners, report, images).items():
        if owners[folder] in found:
            first = found[owners[folder]]
            raise PytsnError(
                f"video '{owners[folder]}' has two frame folders: {first.path} and {item.path}; remove one"
            )
        found[owners[folder]] = item
    return found


def _subset(choice: VideoChoice) -> list[AnetVideo]:
    if choice.subset is None and choice.split not in (1, 2):
        raise PytsnError(f"{choice.dataset} has split 1 (validation) and split 2 (testing), not {choice.split}")
    path = choice.anet_file or activitynet_path(choice.dataset, choice.split_path)
    name = choice.subset or ("validation", "testing")[choice.split - 1]
    videos = read_activitynet(path, ACTIVITYNET[choice.dataset]).subset(name)
    if not videos:
        raise PytsnError(f"{path}: has no {name} videos")
    return videos


def _listed(choice: VideoChoice) -> list[Video]:
    assert choice.test_list is not None  # the command insists on it for this dataset
    return parse_list_file(choice.test_list)


def _custom_hint(choice: VideoChoice) -> str:
    """What to do about a list whose paths start from the current folder, as those of training do."""
    if choice.dataset != CUSTOM or not os.path.exists(_listed(choice)[0].folder):
        return ""
    return f"the list's paths are looked for below {choice.frame_path}, but start from the current folder: give . there"


def _videos_hint(choice: VideoChoice, missing: Collection[str]) -> str:
    """What to do about missing videos where there are, or ought to be, video files."""
    if choice.video_files:
        return "see that the files are there and whole, or go on without them by --allow_missing"
    if choice.dataset != CUSTOM and find_video_files(choice.frame_path, missing):
        return "there are such video files: decode them by --videos, or extract their frames by build-of"
    return ""


def _on_disk(
    choice: VideoChoice, entries: tuple, videos: list[Video], broken: Mapping[str, str]
) -> tuple[list[Video], tuple[str, ...]]:
    """The videos that have frames, and a warning about the others where they may be missing; ``broken``: why the
    images of video files could not be counted, by name."""
    missing = set(find_missing(videos, choice.modality, entries))
    warnings: tuple[str, ...] = ()
    if missing:
        total = len(entries) or len(videos)
        text = missing_message(sorted(missing), total, choice.frame_path, MODALITIES[choice.modality].least_frames)
        text += "".join(f"; {reason}" for reason in list(broken.values())[:1])
        if not choice.allow_missing:
            named = naming_hint([video.folder for video in videos if video.name in missing], choice.prefixes)
            hints = (_custom_hint(choice), _videos_hint(choice, missing), named)
            hint = next(filter(None, hints), "extract them, or go on without them by --allow_missing")
            raise PytsnError(f"{text}; {hint}")
        warnings = (text,)
    videos = [video for video in videos if video.name not in missing]
    if not videos:
        raise PytsnError(f"no video of the split has frames in {choice.frame_path}: nothing to evaluate")
    return videos, warnings

"""Per-snippet features of many videos: finds the videos and runs the net, in one process or several."""

import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_folders import find_missing, missing_message, naming_hint, parse_list_file
from pytsn.data.listed_folders import look_into_listed, numbering_notes
from pytsn.data.modalities import MODALITIES, PREFIXES
from pytsn.data.snippet_reader import SnippetOptions
from pytsn.data.sources import Kinds, find_sources, folder_video
from pytsn.data.video_folder import Progress, count_images, without_extensions
from pytsn.data.videos import Video
from pytsn.evaluation.action_net import NetOptions
from pytsn.evaluation.score_videos import EvalOptions, flow_devices, worker_device
from pytsn.evaluation.video_arrays import Compute, Workers, video_arrays, video_arrays_in_processes, video_by_video
from pytsn.features.net import FeatureNet


@dataclass(frozen=True)
class FeatureOptions:
    """crops: mean, centre or all; spatial: keep the blob's height and width. The rest as in EvalOptions: one process
    drives a GPU here too."""

    net: NetOptions = field(default_factory=NetOptions)
    snippets: SnippetOptions = field(default_factory=SnippetOptions)
    crops: str = "mean"
    spatial: bool = False
    num_worker: int = 1
    gpus: tuple[int, ...] = ()

    @property
    def spread(self) -> EvalOptions:
        """How eval-net would share the work out: processes, devices, reading threads."""
        return EvalOptions(self.net, self.snippets, self.num_worker, self.gpus)

    def devices(self) -> tuple[str, ...]:
        """The device of each process. Raises PytsnError for a device that does not exist."""
        return flow_devices(self.spread)

    def make_net(self, net_files: tuple[str, str], worker: int = 0) -> FeatureNet:
        """The net on the device of process ``worker``."""
        place = worker_device(worker, self.spread)
        return FeatureNet(*net_files, replace(self.net, device=place), self.crops, self.spatial)


def listed_videos(
    source: str,
    modality: str,
    allow_missing: bool = False,
    kinds: Kinds = PREFIXES,
    video_files: bool = False,
    progress: Progress = lambda paths: paths,
) -> tuple[list[Video], list[str], list[str]]:
    """The videos of a list file (``path count label``), or of a folder of frame folders or, if there are none, of video
    files (label -1); the names of videos left out because they have no frames (``allow_missing``); and notes.

    kinds: of rgb, flow x and flow y files. video_files: take the folder's video files even if it holds frame folders;
    ``progress`` wraps those whose frames must be counted.

    Raises PytsnError that names the file and line, the videos without frames, or a folder in which some are missing.
    """
    notes: list[str] = []
    if os.path.isdir(source):
        found = _folder_videos(source, modality, kinds, video_files)
    else:
        looked, notes = look_into_listed(parse_list_file(source), modality, kinds, source)
        found = without_extensions(looked)
    videos, broken = count_images(found, progress)
    missing = set(find_missing(videos, modality))
    if missing and not (allow_missing and len(missing) < len(videos)):
        names = [video.name for video in videos if video.name in missing]
        text = missing_message(names, len(videos), source, MODALITIES[modality].least_frames)
        text += "".join(f"; {reason}" for reason in list(broken.values())[:1])
        hint = naming_hint([video.folder for video in videos if video.name in missing], kinds)
        raise PytsnError(f"{text}; {hint}" if hint else text)
    kept = [video for video in videos if video.name not in missing]
    return kept, sorted(missing), [*notes, *numbering_notes(kept, modality)]


def extract_features(
    net: FeatureNet, net_files: tuple[str, str], videos: Sequence[Video], options: FeatureOptions
) -> Generator[np.ndarray, None, None]:
    """Yields each video's features in order, float32 (T, D) or another shape of FeatureNet: computed by ``net`` in this
    process, or by several that load the net themselves. A short video has repeated ticks, so its features repeat."""
    spread = options.spread
    if spread.processes == 1:
        return video_arrays(video_by_video(net.features), videos, options.snippets, spread.reading_threads)
    workers = Workers(_make_extractor, (net_files, options), spread.processes, spread.reading_threads)
    return video_arrays_in_processes(workers, videos, options.snippets)


def _make_extractor(net_files: tuple[str, str], options: FeatureOptions, worker: int) -> Compute:
    return video_by_video(options.make_net(net_files, worker).features)


def _folder_videos(source: str, modality: str, kinds: Kinds, video_files: bool) -> list[Video]:
    sources = find_sources([source], kinds)
    files = [item for item in sources if item.is_video]
    frames = [item for item in sources if not item.is_video]
    if video_files and not files:
        raise PytsnError(f"{source}: holds no video files")
    if video_files or not frames:
        return [Video(item.name, -1, item.path, 0, 0) for item in files]
    images = (MODALITIES[modality].images.name,)
    return [replace(folder_video(item.path, item.name, kinds, images), label=-1) for item in frames]

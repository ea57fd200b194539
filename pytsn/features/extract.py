"""Per-snippet features of many videos: finds the videos and runs the net, in one process or several."""

import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from converter.errors import PytsnError
from pytsn.data.frame_folders import find_missing, missing_message, parse_list_file
from pytsn.data.modalities import MODALITIES
from pytsn.data.snippet_reader import SnippetOptions
from pytsn.data.sources import find_sources, folder_video
from pytsn.data.videos import Video
from pytsn.evaluation.action_net import NetOptions
from pytsn.evaluation.score_videos import EvalOptions, worker_device
from pytsn.evaluation.video_arrays import Compute, Workers, video_arrays, video_arrays_in_processes, video_by_video
from pytsn.features.net import FeatureNet
from pytsn.runtime.cores import cpu_count


@dataclass(frozen=True)
class FeatureOptions:
    """crops: mean, centre or all; spatial: keep the blob's height and width. The rest as in EvalOptions."""

    net: NetOptions = field(default_factory=NetOptions)
    snippets: SnippetOptions = field(default_factory=SnippetOptions)
    crops: str = "mean"
    spatial: bool = False
    num_worker: int = 1
    gpus: tuple[int, ...] = ()

    def make_net(self, net_files: tuple[str, str], worker: int = 0) -> FeatureNet:
        """The net on the device of worker ``worker``."""
        place = worker_device(worker, EvalOptions(self.net, gpus=self.gpus))
        return FeatureNet(*net_files, replace(self.net, device=place), self.crops, self.spatial)


def listed_videos(source: str, modality: str, allow_missing: bool = False) -> tuple[list[Video], list[str]]:
    """The videos of a list file (``path count label``), or of a folder of frame folders (label -1); and the names of
    videos left out because they have no frames (``allow_missing``).

    Raises PytsnError that names the file and line, or the videos without frames.
    """
    videos = _folder_videos(source) if os.path.isdir(source) else parse_list_file(source)
    missing = set(find_missing(videos, modality))
    if missing and not (allow_missing and len(missing) < len(videos)):
        names = [video.name for video in videos if video.name in missing]
        raise PytsnError(missing_message(names, len(videos), source, MODALITIES[modality].least_frames))
    return [video for video in videos if video.name not in missing], sorted(missing)


def extract_features(
    net: FeatureNet, net_files: tuple[str, str], videos: Sequence[Video], options: FeatureOptions
) -> Generator[np.ndarray, None, None]:
    """Yields each video's features in order, float32 (T, D) or another shape of FeatureNet: computed by ``net`` in this
    process, or by several that load the net themselves. A short video has repeated ticks, so its features repeat."""
    if options.num_worker == 1:
        return video_arrays(video_by_video(net.features), videos, options.snippets, max(2, cpu_count() // 2))
    threads = max(1, cpu_count() // options.num_worker)
    workers = Workers(_make_extractor, (net_files, options), options.num_worker, threads)
    return video_arrays_in_processes(workers, videos, options.snippets)


def _make_extractor(net_files: tuple[str, str], options: FeatureOptions, worker: int) -> Compute:
    return video_by_video(options.make_net(net_files, worker).features)


def _folder_videos(source: str) -> list[Video]:
    sources = find_sources([source])
    frames = [item for item in sources if not item.is_video]
    if not frames:
        raise PytsnError(f"{source}: holds videos, not frames; extract them first by build-of")
    return [replace(folder_video(item.path, item.name), label=-1) for item in frames]

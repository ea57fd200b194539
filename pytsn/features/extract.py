"""Per-snippet features of many videos: which videos, and their snippets through the net, in one process or several."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from converter.errors import PytsnError
from pytsn.data.frame_folders import find_missing, missing_message, parse_list_file
from pytsn.data.modalities import MODALITIES
from pytsn.data.snippet_reader import SnippetOptions, read_videos, video_ticks
from pytsn.data.sources import find_sources, folder_video
from pytsn.data.video_folder import Progress, count_images, without_extensions
from pytsn.data.videos import Video
from pytsn.evaluation.action_net import NetOptions
from pytsn.evaluation.score_videos import EvalOptions, worker_device
from pytsn.features.net import FeatureNet
from pytsn.runtime.cores import cpu_count
from pytsn.runtime.worker_pool import ordered_results


@dataclass(frozen=True)
class FeatureOptions:
    """crops: mean, centre or all; spatial: keep the blob's height and width. The rest as in EvalOptions."""

    net: NetOptions = field(default_factory=NetOptions)
    snippets: SnippetOptions = field(default_factory=SnippetOptions)
    crops: str = "mean"
    spatial: bool = False
    num_worker: int = 1
    gpus: tuple[int, ...] = ()

    def devices(self) -> tuple[str, ...]:
        """Where each worker computes. Raises PytsnError for a device that is not there."""
        spread = EvalOptions(self.net, gpus=self.gpus)
        return tuple(worker_device(worker, spread) for worker in range(self.num_worker))

    def make_net(self, net_files: tuple[str, str], worker: int = 0) -> FeatureNet:
        """The net on the device of worker ``worker``."""
        place = self.devices()[worker]
        return FeatureNet(*net_files, replace(self.net, device=place), self.crops, self.spatial)


def listed_videos(
    source: str,
    modality: str,
    allow_missing: bool = False,
    video_files: bool = False,
    progress: Progress = lambda paths: paths,
) -> tuple[list[Video], list[str]]:
    """The videos of a list file (``path count label``), or of a folder that holds folders of frames or else video files
    (label -1); and the names of those left out for want of frames (``allow_missing``). ``video_files``: the folder's
    video files, whatever else is there; ``progress`` wraps those that have to be counted.

    Raises PytsnError naming the file and line, or the videos without frames.
    """
    found = (
        _folder_videos(source, video_files) if os.path.isdir(source) else without_extensions(parse_list_file(source))
    )
    videos, broken = count_images(found, progress)
    missing = set(find_missing(videos, modality))
    if missing and not (allow_missing and len(missing) < len(videos)):
        names = [video.name for video in videos if video.name in missing]
        text = missing_message(names, len(videos), source, MODALITIES[modality].least_frames)
        raise PytsnError(text + "".join(f"; {reason}" for reason in list(broken.values())[:1]))
    return [video for video in videos if video.name not in missing], sorted(missing)


def extract_features(net: FeatureNet, videos: Sequence[Video], options: FeatureOptions, threads: int = 2) -> Iterator:
    """Each video's features, float32 (T, D) or as FeatureNet gives them, in order, by ``net`` in this process.

    A short video repeats its ticks, and so its features.
    """
    for video, snippets in read_videos(videos, options.snippets, threads):
        ticks = video_ticks(video, options.snippets)
        place = {tick: index for index, tick in enumerate(dict.fromkeys(ticks))}
        yield net.features(snippets)[[place[tick] for tick in ticks]]


def extract_in_processes(net_files: tuple[str, str], videos: Sequence[Video], options: FeatureOptions) -> Iterator:
    """The same by ``options.num_worker`` processes; the features do not depend on their number."""
    arguments = [(net_files, options, worker) for worker in range(options.num_worker)]
    results = ordered_results(_Extractor, arguments, videos)
    with contextlib.closing(results):
        yield from results


class _Extractor:
    """What a worker process does: a video -> its features."""

    def __init__(self, net_files: tuple[str, str], options: FeatureOptions, worker: int) -> None:
        snippets = options.snippets.for_worker(worker)
        self.options, self.threads = replace(options, snippets=snippets), max(1, cpu_count() // options.num_worker)
        torch.set_num_threads(self.threads)
        self.net = options.make_net(net_files, worker)

    def __call__(self, video: Video) -> np.ndarray:
        return next(extract_features(self.net, [video], self.options, self.threads))


def _folder_videos(source: str, video_files: bool) -> list[Video]:
    sources = find_sources([source])
    files = [item for item in sources if item.is_video]
    frames = [item for item in sources if not item.is_video]
    if video_files and not files:
        raise PytsnError(f"{source}: holds no video files")
    if video_files or not frames:
        return [Video(item.name, -1, item.path, 0, 0) for item in files]
    return [replace(folder_video(item.path, item.name), label=-1) for item in frames]

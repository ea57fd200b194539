"""Scoring all videos of a list: one process with its own reader threads, or several processes."""

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from pytsn.data.frame_folders import Video
from pytsn.data.snippet_reader import SnippetOptions, read_videos, video_ticks
from pytsn.evaluation.action_net import ActionNet, NetOptions
from pytsn.runtime.cores import cpu_count
from pytsn.runtime.device import pick_device
from pytsn.runtime.worker_pool import ordered_results

#: videos a worker process takes at a time: few, so that the last one does not keep the others waiting
_CHUNK = 2


@dataclass(frozen=True)
class EvalOptions:
    """num_worker processes, spread over ``gpus`` (device numbers; empty: all that ``net.device`` admits)."""

    net: NetOptions = field(default_factory=NetOptions)
    snippets: SnippetOptions = field(default_factory=SnippetOptions)
    num_worker: int = 1
    gpus: tuple[int, ...] = ()


def worker_device(worker: int, options: EvalOptions) -> str:
    """The device of worker number ``worker`` (from 0), e.g. ``cuda:1``. Raises PytsnError when it is not there."""
    if options.gpus:
        return str(pick_device(f"cuda:{options.gpus[worker % len(options.gpus)]}"))
    device = pick_device(options.net.device)
    if device.type == "cuda" and device.index is None:
        return f"cuda:{worker % torch.cuda.device_count()}"
    return str(device)


def score_video(net: ActionNet, video: Video, snippets: np.ndarray, options: SnippetOptions) -> np.ndarray:
    """Scores float32 (T, 10, K) of a video from its distinct snippets: repeated ticks repeat their scores."""
    ticks = video_ticks(video, options)
    place = {tick: index for index, tick in enumerate(dict.fromkeys(ticks))}
    return net.score_snippets(snippets)[[place[tick] for tick in ticks]]


def score_videos(
    net: ActionNet, videos: Sequence[Video], options: EvalOptions, threads: int | None = None
) -> Generator[tuple[Video, np.ndarray], None, None]:
    """Each video with its scores, float32 (T, 10, K), in order, computed in this process by ``net``."""
    threads = threads or max(2, cpu_count() // 2)
    for video, snippets in read_videos(videos, options.snippets, threads):
        yield video, score_video(net, video, snippets, options.snippets)


def score_videos_in_processes(
    net_files: tuple[str, str], videos: Sequence[Video], options: EvalOptions
) -> Generator[tuple[Video, np.ndarray], None, None]:
    """The same by ``options.num_worker`` processes; the scores do not depend on their number.

    A worker's PytsnError is raised here, and WorkerKilled (pytsn.runtime.worker_pool).
    """
    chunks = [videos[start : start + _CHUNK] for start in range(0, len(videos), _CHUNK)]
    arguments = [(net_files, options, worker) for worker in range(options.num_worker)]
    results = ordered_results(_Scorer, arguments, chunks)
    with contextlib.closing(results):
        for chunk, scores in zip(chunks, results, strict=True):
            yield from zip(chunk, scores, strict=True)


class _Scorer:
    """What a worker process does: videos -> their scores."""

    def __init__(self, net_files: tuple[str, str], options: EvalOptions, worker: int) -> None:
        self.options, self.threads = options, max(1, cpu_count() // options.num_worker)
        torch.set_num_threads(self.threads)
        self.net = ActionNet(*net_files, replace(options.net, device=worker_device(worker, options)))

    def __call__(self, videos: Sequence[Video]) -> list[np.ndarray]:
        return [scores for _, scores in score_videos(self.net, videos, self.options, self.threads)]
